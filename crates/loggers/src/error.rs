//! What can keep a run from being logged.

use ddpo_files::WriteFileError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a log could not be read or written.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system refused.
    #[error("could not {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A whole file could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// A picture is no PNG file.
    #[error("{}: expected a PNG file, found another", .0.display())]
    Picture(PathBuf),
}

impl LogError {
    /// For `map_err`: what was tried, and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
