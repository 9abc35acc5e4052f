//! The folder of a run: where everything lies, written so that a reader never sees half a file.

use crate::checkpoint;
use crate::error::FolderError;
use crate::leftovers;
use crate::paths::with_absolute_paths;
use crate::settings::Settings;
use ddpo_files::{publish_folder, recover_folder, write_file};
use ddpo_rollout::reward::RewardSpec;
use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// A new run in `root`, which may exist but must hold no run. Nothing is written yet.
    ///
    /// # Errors
    /// [`FolderError::Taken`] if there is a run.
    pub fn new(root: &Path) -> Result<Self, FolderError> {
        let folder = Self { root: root.into() };
        if folder.holds_run() || folder.last_checkpoint()?.is_some() {
            return Err(FolderError::Taken(root.into()));
        }
        Ok(folder)
    }

    /// The folder of a run to go on with.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Whether a run has begun here.
    pub fn holds_run(&self) -> bool {
        Self::settings_file(&self.root).exists()
    }

    /// Makes the folder itself.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn create(&self) -> Result<(), FolderError> {
        std::fs::create_dir_all(&self.root).map_err(FolderError::io("create", &self.root))
    }

    /// Makes missing folders, writes `run.toml` if there is none, and removes what a killed process left
    /// half-written.
    ///
    /// # Errors
    /// [`FolderError`] names the file or folder.
    pub fn begin(&self, settings: &Settings, reward: &RewardSpec) -> Result<(), FolderError> {
        for name in ["samples", "eval", "checkpoints"] {
            let path = self.root.join(name);
            std::fs::create_dir_all(&path).map_err(FolderError::io("create", &path))?;
        }
        leftovers::remove(&self.root)?;
        let file = Self::settings_file(&self.root);
        if !file.exists() {
            let heading =
                "# The settings of this run; `ddpo train --resume --output-dir` takes them up.\n";
            let mut table = toml::Table::try_from(with_absolute_paths(settings))?;
            table.insert(RewardSpec::TABLE.into(), toml::Value::try_from(reward)?);
            write_file(&file, format!("{heading}{}", toml::to_string(&table)?).as_bytes())?;
        }
        Ok(())
    }

    /// `run.toml` of the run in `root`.
    pub fn settings_file(root: &Path) -> PathBuf {
        root.join("run.toml")
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// `samples/epoch-NNNNNN.png`.
    pub fn samples(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("samples/epoch-{epoch:06}.png"))
    }

    /// A file of the evaluation after `epoch` epochs.
    pub fn eval(&self, epoch: u32, extension: &str) -> PathBuf {
        self.root.join(format!("eval/epoch-{epoch:06}.{extension}"))
    }

    /// `batches/epoch-NNNNNN.safetensors`; makes the folder.
    ///
    /// # Errors
    /// [`FolderError::Io`] if that is not possible.
    pub fn batch(&self, epoch: u32) -> Result<PathBuf, FolderError> {
        let folder = self.root.join("batches");
        std::fs::create_dir_all(&folder).map_err(FolderError::io("create", &folder))?;
        Ok(folder.join(format!("epoch-{epoch:06}.safetensors")))
    }

    /// `tensorboard`: its event files, where they were asked for.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// `checkpoints/epoch-NNNNNN`.
    pub fn checkpoint(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("checkpoints/epoch-{epoch:06}"))
    }

    /// `checkpoints/best`.
    pub fn best(&self) -> PathBuf {
        self.root.join("checkpoints/best")
    }

    /// The last checkpoint and its number of epochs.
    ///
    /// # Errors
    /// [`FolderError::Io`] if the folder cannot be listed, [`FolderError::Recover`] if what a
    /// killed process left cannot be put right.
    pub fn last_checkpoint(&self) -> Result<Option<(u32, PathBuf)>, FolderError> {
        if !self.root.join("checkpoints").is_dir() {
            return Ok(None);
        }
        recover_folder(&self.best())?;
        Ok(self.checkpoints()?.pop())
    }

    /// The checkpoints of the epochs, in their order. `best` is one of them again.
    ///
    /// # Errors
    /// [`FolderError::Io`] if the folder cannot be listed.
    pub fn checkpoints(&self) -> Result<Vec<(u32, PathBuf)>, FolderError> {
        let folder = self.root.join("checkpoints");
        let unreadable = || FolderError::io("read", &folder);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let epoch = name.strip_prefix("epoch-").and_then(|number| number.parse::<u32>().ok());
            found.extend(epoch.map(|epoch| (epoch, path)));
        }
        found.sort();
        Ok(found)
    }

    /// The reward that made `checkpoints/best` the best, if there is one.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] if its state cannot be read.
    pub fn best_reward(&self) -> Result<Option<f64>, FolderError> {
        match self.best().is_dir() {
            true => Ok(checkpoint::read_state(&self.best())?.best_reward),
            false => Ok(None),
        }
    }

    /// Makes `checkpoints/best` the same as the checkpoint after `epoch` epochs. Files are linked
    /// where the file system can: they never change.
    ///
    /// # Errors
    /// [`FolderError::Best`].
    pub fn mark_best(&self, epoch: u32) -> Result<(), FolderError> {
        let path = self.checkpoint(epoch);
        publish_folder(&self.best(), |target| link_tree(&path, target))
            .map_err(|source| FolderError::Best { path, source })
    }
}

fn link_tree(source: &Path, target: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&to)?;
            link_tree(&entry.path(), &to)?;
        } else if std::fs::hard_link(entry.path(), &to).is_err() {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
