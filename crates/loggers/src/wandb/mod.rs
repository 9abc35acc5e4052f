//! Weights & Biases, by a Python program that uses the official SDK (`python/ddpo_wandb.py`). It
//! reads the run's folder and is told by messages which epochs are complete.
//!
//! The run's other files have all values of an epoch except its distributions, which
//! [`write_histograms`] keeps.

mod error;
mod process;

pub use error::WandbError;

use crate::error::LogError;
use crate::histogram::Histogram;
use process::Helper;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder for Weights & Biases in a run's folder.
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
    /// The user or team; the default of the API key without it.
    pub entity: Option<String>,
    /// The run's name.
    pub name: String,
    /// Words to find the run by.
    pub tags: Vec<String>,
    /// Whether the last and the best checkpoint become artifacts when the run finishes.
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
    /// [`WandbError`] if there is no Python, or no module `wandb`.
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

    /// Logs all epochs up to `epoch` that are not logged yet. Does not wait for it; gives what wandb
    /// has to say so far to `tell`.
    ///
    /// # Errors
    /// [`WandbError`] if the program has ended.
    pub fn log(&mut self, epoch: u32, tell: &mut dyn FnMut(&str)) -> Result<(), WandbError> {
        self.helper.send(&json!({"epoch": epoch}));
        self.helper.lines(tell)
    }

    /// Logs that the run has ended after `epoch` epochs with an exit status, 0 if it is finished, and
    /// waits up to `patience` until everything is uploaded.
    ///
    /// # Errors
    /// [`WandbError`] if the program has failed or takes too long.
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

/// Writes the distributions of an epoch to the folder of a run, where [`WeightsAndBiases`] looks for them.
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
