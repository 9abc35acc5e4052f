//! Errors from logging to Weights & Biases.

use crate::error::LogError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Errors from logging to Weights & Biases. The run itself is not affected by any of them.
#[derive(Debug, Error)]
pub enum WandbError {
    /// A file in the run's folder `wandb`.
    #[error(transparent)]
    File(#[from] LogError),
    /// No Python was found.
    #[error("could not start `{python}`: {cause}; hint: set DDPO_PYTHON to a Python with wandb")]
    Start {
        /// The interpreter.
        python: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The Python program has failed. Its message has a hint.
    #[error("{0}")]
    Refused(String),
    /// The Python program has ended for another reason.
    #[error(
        "wandb's process ended early: {reason}; hint: `ddpo log wandb {run}` logs the rest, \
         {run}/wandb/ddpo.log has the details",
        run = run.display()
    )]
    Ended {
        /// The last line of its log, or its exit status.
        reason: String,
        /// The run's folder.
        run: PathBuf,
    },
    /// The upload takes too long.
    #[error(
        "wandb was still uploading after {} s and was stopped; \
         hint: `ddpo log wandb {}` uploads the rest",
        patience.as_secs(),
        run.display()
    )]
    Slow {
        /// The time that it was given.
        patience: Duration,
        /// The run's folder.
        run: PathBuf,
    },
}
