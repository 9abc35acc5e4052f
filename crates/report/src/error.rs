//! Errors of reading, rendering and writing a report.

use ddpo_picture::PictureError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Errors of reading, rendering and writing a report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder is not a run folder.
    #[error("{}: expected a run's folder, found no run.toml; hint: start a run with ddpo train", .0.display())]
    NoRun(PathBuf),
    /// The run has no finished epoch.
    #[error("{}: the run has no finished epoch yet; hint: wait for the first line of metrics.jsonl", .0.display())]
    NoEpochs(PathBuf),
    /// A file has unexpected content.
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
    /// Returns a function that wraps an error of the operating system about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Creates an error about the content of a file.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }
}
