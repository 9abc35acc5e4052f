//! Weights & Biases, through a Python program with the official SDK (`python/ddpo_wandb.py`). It
//! reads the run's folder; messages tell it which epochs are complete.
//!
//! The distributions of an epoch are not in the run's other files, so [`write_histograms`] stores
//! them.

mod error;
mod process;

pub use error::WandbError;

use crate::error::LogError;
use crate::histogram::Histogram;
use process::Helper;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the folder for Weights & Biases in a run's folder.
const FOLDER: &str = "wandb";

/// A run as Weights & Biases shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct WandbRun {
    /// The run's folder, which exists.
    pub folder: PathBuf,
    /// Its settings.
    pub config: Map<String, Value>,
    /// The project.
    pub project: String,
    /// The user or team; by default the one of the API key.
    pub entity: Option<String>,
    /// The run's name.
    pub name: String,
    /// Tags of the run.
    pub tags: Vec<String>,
    /// Whether to upload the last and the best checkpoint as artifacts when the run finishes.
    pub save_model: bool,
}

/// A run that is logged to Weights & Biases.
#[derive(Debug)]
pub struct WeightsAndBiases {
    helper: Helper,
}

impl WeightsAndBiases {
    /// Starts to log `run`.
    ///
    /// # Errors
    /// [`WandbError`] if Python or its module `wandb` is missing.
    pub fn start(run: &WandbRun) -> Result<Self, WandbError> {
        let WandbRun { folder, config, project, entity, name, tags, save_model } = run;
        let logs = folder.join(FOLDER);
        std::fs::create_dir_all(&logs).map_err(LogError::io("create", &logs))?;
        let request = json!({
            "run": folder.to_string_lossy(),
            "config": config,
            "project": project,
            "entity": entity,
            "name": name,
            "tags": tags,
            "save_model": save_model,
        });
        Ok(Self { helper: Helper::start(folder, &request)? })
    }

    /// Logs all epochs up to `epoch` that are not logged yet, without waiting. Passes the messages of
    /// wandb so far to `tell`.
    ///
    /// # Errors
    /// [`WandbError`] if the program ended.
    pub fn log(&mut self, epoch: u32, tell: &mut dyn FnMut(&str)) -> Result<(), WandbError> {
        self.helper.send(&json!({"epoch": epoch}));
        self.helper.lines(tell)
    }

    /// Logs the end of the run after `epoch` epochs with an exit status, 0 if it finished, and waits up
    /// to `patience` for uploads.
    ///
    /// # Errors
    /// [`WandbError`] if the program fails or exceeds `patience`.
    pub fn close(
        self,
        epoch: u32,
        code: u8,
        patience: Duration,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), WandbError> {
        self.helper.send(&json!({"epoch": epoch, "code": code}));
        self.helper.finish(patience, tell)
    }
}

/// Writes the distributions of an epoch to the folder of a run, where [`WeightsAndBiases`] reads them.
///
/// # Errors
/// [`LogError::Io`].
pub fn write_histograms(
    run: &Path,
    epoch: u32,
    histograms: &[(&'static str, Histogram)],
) -> Result<(), LogError> {
    let value = |of: &Histogram| json!({"values": of.counts, "bins": of.edges});
    let values = histograms.iter().map(|(name, of)| ((*name).to_owned(), value(of)));
    let text = Value::Object(values.collect()).to_string();
    let folder = run.join(FOLDER).join("histograms");
    std::fs::create_dir_all(&folder).map_err(LogError::io("create", &folder))?;
    let path = folder.join(format!("epoch-{epoch:06}.json"));
    let beside = path.with_extension("json.part");
    std::fs::write(&beside, text).map_err(LogError::io("write", &beside))?;
    std::fs::rename(&beside, &path).map_err(LogError::io("write", &path))
}
