//! The folder of a run: where everything lies, written so that a reader never sees half a file.

use crate::settings::Settings;
use crate::train::leftovers;
use anyhow::{Context, Result, bail};
use ddpo_checkpoint::{publish_folder, recover_folder, write_file};
use ddpo_learner::checkpoint;
use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// A new run in `root`, which may exist but must hold no run. Nothing is written yet.
    pub fn new(root: &Path) -> Result<Self> {
        let folder = Self { root: root.into() };
        if Self::settings_file(root).exists() || folder.last_checkpoint()?.is_some() {
            let hint = "hint: --resume continues it, another --output-dir starts a new one";
            bail!("{} holds a run already; {hint}", root.display());
        }
        Ok(folder)
    }

    /// The folder of a run to go on with.
    #[must_use]
    pub fn existing(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Makes what is missing, `run.toml` too, and removes what a killed process left half-written.
    pub fn begin(&self, settings: &Settings) -> Result<()> {
        for name in ["samples", "eval", "checkpoints"] {
            let path = self.root.join(name);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("could not create {}", path.display()))?;
        }
        leftovers::remove(&self.root)?;
        let file = Self::settings_file(&self.root);
        if !file.exists() {
            let heading =
                "# The settings of this run; `ddpo train --resume --output-dir` takes them up.\n";
            write_file(&file, format!("{heading}{}", toml::to_string(settings)?).as_bytes())?;
        }
        Ok(())
    }

    /// `run.toml` of the run in `root`.
    #[must_use]
    pub fn settings_file(root: &Path) -> PathBuf {
        root.join("run.toml")
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `metrics.jsonl`.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// `samples/epoch-NNNNNN.png`.
    #[must_use]
    pub fn samples(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("samples/epoch-{epoch:06}.png"))
    }

    /// A file of the evaluation after `epoch` epochs.
    #[must_use]
    pub fn eval(&self, epoch: u32, extension: &str) -> PathBuf {
        self.root.join(format!("eval/epoch-{epoch:06}.{extension}"))
    }

    /// `batches/epoch-NNNNNN.safetensors`.
    pub fn batch(&self, epoch: u32) -> Result<PathBuf> {
        let folder = self.root.join("batches");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        Ok(folder.join(format!("epoch-{epoch:06}.safetensors")))
    }

    /// `checkpoints/epoch-NNNNNN`.
    #[must_use]
    pub fn checkpoint(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("checkpoints/epoch-{epoch:06}"))
    }

    /// `checkpoints/best`.
    #[must_use]
    pub fn best(&self) -> PathBuf {
        self.root.join("checkpoints/best")
    }

    /// The last checkpoint and its number of epochs.
    pub fn last_checkpoint(&self) -> Result<Option<(u32, PathBuf)>> {
        let folder = self.root.join("checkpoints");
        let mut last = None;
        if !folder.is_dir() {
            return Ok(last);
        }
        recover_folder(&self.best())?;
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("could not read {}", folder.display()))?;
        for entry in entries {
            let path =
                entry.with_context(|| format!("could not read {}", folder.display()))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let epoch = name.strip_prefix("epoch-").and_then(|number| number.parse::<u32>().ok());
            last = last.max(epoch.map(|epoch| (epoch, path.clone())));
        }
        Ok(last)
    }

    /// The reward that made `checkpoints/best` the best, if there is one.
    pub fn best_reward(&self) -> Result<Option<f64>> {
        match self.best().is_dir() {
            true => Ok(checkpoint::read_state(&self.best())?.best_reward),
            false => Ok(None),
        }
    }

    /// Makes `checkpoints/best` the same as the checkpoint after `epoch` epochs. Files are linked
    /// where the file system can: they never change.
    pub fn mark_best(&self, epoch: u32) -> Result<()> {
        let source = self.checkpoint(epoch);
        publish_folder(&self.best(), |target| link_tree(&source, target))
            .with_context(|| format!("could not copy {} to best", source.display()))
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
