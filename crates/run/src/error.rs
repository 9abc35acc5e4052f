//! What can end a run, by the stage that it came from.

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

/// Why a source of trajectories could not serve: its own errors, whatever they are.
pub type RolloutsError = Box<dyn std::error::Error + Send + Sync>;

/// Why a run could not begin or go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The device or the number of threads.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The pretrained model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The steps of denoising.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The learner's settings, or an update.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Drawing and scoring.
    #[error("{0}")]
    Rollouts(#[source] RolloutsError),
    /// A source of trajectories gave others than it was asked for.
    #[error("{stage}: expected sample {expected}, found {found}")]
    Unasked {
        /// Which request it was.
        stage: &'static str,
        /// The sample that was asked for.
        expected: String,
        /// What came in its place.
        found: String,
    },
    /// A source of trajectories drew with weights that only bear the right name.
    #[error("{stage}: sample {sample} was made with {version} of digest {found}, not {expected}")]
    OtherWeights {
        /// Which request it was.
        stage: &'static str,
        /// The sample.
        sample: u32,
        /// Version of the weights.
        version: PolicyVersion,
        /// Their digest.
        expected: Digest,
        /// The digest that the trajectory bears.
        found: Digest,
    },
    /// An evaluation was not scored with a reward that is held out for it.
    #[error("evaluation: sample {sample}: expected a component \"{name}\", found none")]
    HeldOut {
        /// Index of the sample.
        sample: u32,
        /// The component.
        name: String,
    },
    /// A checkpoint of this run.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// The checkpoint that the run was to start from.
    #[error("resume_from_ckpt = {}: {source}", path.display())]
    StartFrom {
        /// The checkpoint.
        path: PathBuf,
        /// Why it cannot be loaded.
        source: Box<CheckpointError>,
    },
    /// The checkpoint that the run was to start from is a file of another program.
    #[error(
        "resume_from_ckpt = {path}: expected a checkpoint's folder, found a .pth file; \
         hint: ddpo convert {path} --ddpm-ckpt BASE --out FOLDER makes one of it",
        path = .0.display()
    )]
    StartFromPickle(PathBuf),
    /// A checkpoint does not hold the epoch that its name says.
    #[error("{}: holds epoch {found}, not {expected}", path.display())]
    Epoch {
        /// The checkpoint.
        path: PathBuf,
        /// The epoch in its name.
        expected: u32,
        /// The epoch that it holds.
        found: u32,
    },
    /// The folder of the run.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A log for TensorBoard or Weights & Biases.
    #[error(transparent)]
    Log(Box<LogError>),
    /// A grid of samples.
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

/// What is wrong with the folder of a run.
#[derive(Debug, Error)]
pub enum FolderError {
    /// There is a run in it already.
    #[error(
        "{} holds a run already; \
         hint: --resume continues it, another --output-dir starts a new one",
        .0.display()
    )]
    Taken(PathBuf),
    /// Another process works there.
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
    /// A line of a file is not what a run writes.
    #[error("{}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What a killed process left half-written could not be put right.
    #[error(transparent)]
    Recover(#[from] PublishError<Infallible>),
    /// The same, found while cleaning up.
    #[error("could not clean up {}: {source}", path.display())]
    CleanUp {
        /// The folder.
        path: PathBuf,
        /// What went wrong there.
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
    /// For `map_err`: what was tried, and where.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
