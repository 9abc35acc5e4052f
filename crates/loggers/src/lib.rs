//! What a run tells of its epochs, in the formats of the programs that people look at runs with.
//!
//! It stands at the end of an epoch: the learner's run makes one [`Step`] of what it has written
//! to its folder already, and gives it to every [`Logger`]. [`TensorBoard`] appends to event files,
//! [`WeightsAndBiases`] to a run that `wandb sync` uploads.
//!
//! Both write files that grow, one write a step, and are opened with the last step that counts: what
//! a killed process has written beyond is cut off first. A resumed run so has each step once.
//!
//! The formats are those of TensorBoard 2 (`tensorboard/compat/proto`, TFRecord) and of wandb
//! (`wandb/proto/wandb_internal.proto`, `wandb/sdk/internal/datastore.py`).

mod error;
mod growing;
mod histogram;
mod scalars;
mod step;
mod tensorboard;
mod wandb;

pub use error::LogError;
pub use histogram::Histogram;
pub use scalars::scalars;
pub use step::{Picture, Step};
pub use tensorboard::TensorBoard;
pub use wandb::{Project, WeightsAndBiases};

use serde_json::{Map, Value};
use std::fmt::Debug;
use std::path::PathBuf;

/// What is logged once, at the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Name of the run, for people.
    pub name: String,
    /// Its settings.
    pub settings: Map<String, Value>,
    /// The last step that counts of what an earlier process has logged; `None` if nothing does.
    pub last: Option<u32>,
}

/// How a run has ended, and what it leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// Exit status of the program; 0 if the run is finished.
    pub code: u8,
    /// Checkpoints to keep with the log.
    pub checkpoints: Vec<Checkpoint>,
}

/// A checkpoint to keep with the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// Epochs completed.
    pub epoch: u32,
    /// What it is called besides, such as `best`.
    pub aliases: Vec<String>,
}

/// A place that a run is logged to.
pub trait Logger: Debug {
    /// Logs a step, whole or not at all. Steps come in order.
    ///
    /// # Errors
    /// [`LogError`] names the file; the run can be resumed once there is room.
    fn log(&mut self, step: &Step) -> Result<(), LogError>;

    /// Logs that the run has ended. Where nothing was logged since an earlier process said so, it
    /// leaves everything as it is. Does nothing by default.
    ///
    /// # Errors
    /// [`LogError`] names the file.
    fn close(&mut self, _ending: &Ending) -> Result<(), LogError> {
        Ok(())
    }
}
