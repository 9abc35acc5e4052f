//! Errors from logging to Weights & Biases.

use crate::error::LogError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Errors from logging to Weights & Biases. They do not affect the run.
#[derive(Debug, Error)]
pub enum WandbError {
    /// A file in the run's folder `wandb` cannot be read or written.
    #[error(transparent)]
    File(#[from] LogError),
    /// Python could not be started.
    #[error("could not start `{python}`: {cause}; hint: set DDPO_PYTHON to a Python with wandb")]
    Start {
        /// The interpreter.
        python: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The Python program failed. Its message contains a hint.
    #[error("{0}")]
    Refused(String),
    /// The Python program ended for another reason.
    #[error(
        "wandb's process ended early: {reason}; hint: see {run}/wandb/ddpo.log, \
         and log the rest with `ddpo log wandb {run}`",
        run = run.display()
    )]
    Ended {
        /// The last line of its log, or its exit status.
        reason: String,
        /// The run's folder.
        run: PathBuf,
    },
    /// The upload exceeded its time limit.
    #[error(
        "wandb was still uploading after {} s and was stopped; \
         hint: upload the rest with `ddpo log wandb {}`",
        patience.as_secs(),
        run.display()
    )]
    Slow {
        /// The time limit.
        patience: Duration,
        /// The run's folder.
        run: PathBuf,
    },
}
