//! What can keep a report from being made.

use ddpo_picture::PictureError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why files could not be read, understood or written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is not a run's.
    #[error("{}: expected a run's folder, found no run.toml; hint: ddpo train writes one", .0.display())]
    NoRun(PathBuf),
    /// The run has nothing to show yet.
    #[error("{}: the run has no finished epoch yet; hint: wait for the first line of metrics.jsonl", .0.display())]
    NoEpochs(PathBuf),
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A page or plot could not be rendered.
    #[error(transparent)]
    Template(#[from] askama::Error),
    /// A picture could not be read or written.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

impl ReportError {
    /// Wraps what the system said of `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// A file that is not what it should be.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }
}
