//! The folder of a run and the paths in it. A reader never sees a half-written file.

use crate::checkpoint;
use crate::error::FolderError;
use crate::leftovers;
use crate::paths::with_absolute_paths;
use crate::settings::Settings;
use crate::start::Start;
use ddpo_files::{publish_folder, recover_folder, write_file};
use ddpo_rollout::reward::RewardSpec;
use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Returns the folder for a new run in `root`, which may exist but must not contain a run. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`FolderError::Taken`] if `root` contains a run.
    pub fn new(root: &Path) -> Result<Self, FolderError> {
        let folder = Self { root: root.into() };
        if folder.holds_run() || folder.last_checkpoint()?.is_some() {
            return Err(FolderError::Taken(root.into()));
        }
        Ok(folder)
    }

    /// Returns the folder of an existing run.
    pub fn existing(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Returns whether the folder contains a run.
    pub fn holds_run(&self) -> bool {
        Self::settings_file(&self.root).exists()
    }

    /// Creates the folder itself.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn create(&self) -> Result<(), FolderError> {
        std::fs::create_dir_all(&self.root).map_err(FolderError::io("create", &self.root))
    }

    /// Creates missing subfolders and a missing `run.toml`, and removes half-written files of
    /// a killed process. Calls `start` only for a missing `run.toml`.
    ///
    /// # Errors
    /// [`FolderError`] names the file or folder.
    pub fn begin(
        &self,
        settings: &Settings,
        reward: &RewardSpec,
        start: impl FnOnce() -> Start,
    ) -> Result<(), FolderError> {
        for name in ["samples", "eval", "checkpoints"] {
            let path = self.root.join(name);
            std::fs::create_dir_all(&path).map_err(FolderError::io("create", &path))?;
        }
        leftovers::remove(&self.root)?;
        let file = Self::settings_file(&self.root);
        if !file.exists() {
            let heading =
                "# The settings of this run; `ddpo train --resume --output-dir` reads them.\n";
            let mut table = toml::Table::try_from(with_absolute_paths(settings))?;
            table.insert(RewardSpec::TABLE.into(), toml::Value::try_from(reward)?);
            table.insert(Start::TABLE.into(), toml::Value::try_from(start())?);
            write_file(&file, format!("{heading}{}", toml::to_string(&table)?).as_bytes())?;
        }
        Ok(())
    }

    /// Returns the path of `run.toml` for the run in `root`.
    pub fn settings_file(root: &Path) -> PathBuf {
        root.join("run.toml")
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// Returns the path of `samples/epoch-NNNNNN.png`.
    pub fn samples(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("samples/epoch-{epoch:06}.png"))
    }

    /// Returns the path of a file of the evaluation after `epoch` epochs.
    pub fn eval(&self, epoch: u32, extension: &str) -> PathBuf {
        self.root.join(format!("eval/epoch-{epoch:06}.{extension}"))
    }

    /// Returns the path of `batches/epoch-NNNNNN.safetensors` and creates the folder `batches`.
    ///
    /// # Errors
    /// [`FolderError::Io`] if the folder cannot be created.
    pub fn batch(&self, epoch: u32) -> Result<PathBuf, FolderError> {
        let folder = self.root.join("batches");
        std::fs::create_dir_all(&folder).map_err(FolderError::io("create", &folder))?;
        Ok(folder.join(format!("epoch-{epoch:06}.safetensors")))
    }

    /// Returns the path of `tensorboard`, the folder of TensorBoard's event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// Returns the path of `checkpoints/epoch-NNNNNN`.
    pub fn checkpoint(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("checkpoints/epoch-{epoch:06}"))
    }

    /// Returns the path of `checkpoints/best`.
    pub fn best(&self) -> PathBuf {
        self.root.join("checkpoints/best")
    }

    /// Returns the last checkpoint and its number of epochs.
    ///
    /// # Errors
    /// [`FolderError::Io`] if the folder cannot be listed, [`FolderError::Recover`] if the half-written
    /// folders of a killed process cannot be repaired.
    pub fn last_checkpoint(&self) -> Result<Option<(u32, PathBuf)>, FolderError> {
        if !self.root.join("checkpoints").is_dir() {
            return Ok(None);
        }
        recover_folder(&self.best())?;
        Ok(self.checkpoints()?.pop())
    }

    /// Returns the checkpoints in the order of their epochs. `best`, a copy of one, is left out.
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

    /// Returns the best reward that `checkpoints/best` records, if that checkpoint exists.
    ///
    /// # Errors
    /// [`FolderError::Checkpoint`] if its state cannot be read.
    pub fn best_reward(&self) -> Result<Option<f64>, FolderError> {
        match self.best().is_dir() {
            true => Ok(checkpoint::read_state(&self.best())?.best_reward),
            false => Ok(None),
        }
    }

    /// Copies the checkpoint after `epoch` epochs to `checkpoints/best`. Uses hard links where the file
    /// system supports them, which is safe because checkpoint files never change.
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
