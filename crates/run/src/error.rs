//! Errors that end a run, by stage.

use crate::checkpoint::CheckpointError;
use crate::model::ModelError;
use crate::pictures::DrawError;
use ddpo_algorithm::error::LearnError;
use ddpo_checkpoint::WriteError;
use ddpo_diffusion::device::DeviceError;
use ddpo_diffusion::scheduler::config::SchedulerError;
use ddpo_files::{PublishError, WriteFileError};
use ddpo_loggers::LogError;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An error of a source of trajectories, of any type.
pub type RolloutsError = Box<dyn std::error::Error + Send + Sync>;

/// Errors from opening and training a run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The device or the number of threads cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The pretrained model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scheduler cannot make the denoising steps.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The learner's settings are invalid, or an update failed.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Samples could not be drawn or scored.
    #[error("{0}")]
    Rollouts(#[source] RolloutsError),
    /// A source of trajectories returned other samples than requested.
    #[error("{stage}: expected sample {expected}, found {found}")]
    Unasked {
        /// The stage of the request.
        stage: &'static str,
        /// The requested sample.
        expected: String,
        /// What was returned instead.
        found: String,
    },
    /// A sample's weights have the requested version but another digest.
    #[error("{stage}: sample {sample} of {version}: expected weights {expected}, found {found}")]
    OtherWeights {
        /// The stage of the request.
        stage: &'static str,
        /// The sample.
        sample: u32,
        /// Version of the weights.
        version: PolicyVersion,
        /// Digest of the requested weights.
        expected: Digest,
        /// Digest in the trajectory.
        found: Digest,
    },
    /// A score lacks the component of a held-out reward.
    #[error("evaluation: sample {sample}: expected a component \"{name}\", found none")]
    HeldOut {
        /// Index of the sample.
        sample: u32,
        /// The component.
        name: String,
    },
    /// A checkpoint of this run cannot be written or read.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// The checkpoint in `resume_from_ckpt` cannot be loaded.
    #[error("resume_from_ckpt = {}: {source}", path.display())]
    StartFrom {
        /// The checkpoint.
        path: PathBuf,
        /// The cause.
        source: Box<CheckpointError>,
    },
    /// `resume_from_ckpt` names a `.pth` file.
    #[error(
        "resume_from_ckpt = {path}: expected a checkpoint's folder, found a .pth file; \
         hint: convert it with ddpo convert {path} --ddpm-ckpt BASE --out FOLDER",
        path = .0.display()
    )]
    StartFromPickle(PathBuf),
    /// The epoch in a checkpoint differs from the epoch in its name.
    #[error("{}: expected epoch {expected}, found {found}", path.display())]
    Epoch {
        /// The checkpoint.
        path: PathBuf,
        /// The epoch in its name.
        expected: u32,
        /// The epoch in its state.
        found: u32,
    },
    /// The folder of the run cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A log for TensorBoard or Weights & Biases could not be written.
    #[error(transparent)]
    Log(Box<LogError>),
    /// A grid of samples could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A file of the run could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// A recorded batch could not be written.
    #[error(transparent)]
    Batch(#[from] WriteError),
    /// Numbers could not be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Errors from the folder of a run.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder already contains a run.
    #[error(
        "{} holds a run already; \
         hint: --resume continues it, another --output-dir starts a new one",
        .0.display()
    )]
    Taken(PathBuf),
    /// Another process uses the folder.
    #[error(
        "{}: another process works in this run's folder; hint: wait for it to end, or stop it",
        .0.display()
    )]
    InUse(PathBuf),
    /// A file or folder could not be read, created or removed.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a file cannot be parsed.
    #[error("{}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A half-written folder of a killed process could not be repaired.
    #[error(transparent)]
    Recover(#[from] PublishError<Infallible>),
    /// Half-written files could not be removed.
    #[error("could not clean up {}: {source}", path.display())]
    CleanUp {
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        source: PublishError<Infallible>,
    },
    /// A checkpoint could not be marked as the best.
    #[error("could not copy {} to best: {source}", path.display())]
    Best {
        /// The checkpoint.
        path: PathBuf,
        /// What went wrong.
        source: PublishError<io::Error>,
    },
    /// The state of the best checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// The settings could not be written as TOML.
    #[error(transparent)]
    Settings(#[from] toml::ser::Error),
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl From<CheckpointError> for FolderError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl FolderError {
    /// Returns a conversion for `map_err`, from the action that failed and its path.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
