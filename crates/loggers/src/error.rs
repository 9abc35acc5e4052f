//! Errors from writing a log.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Errors from reading or writing the files of a log.
#[derive(Debug, Error)]
pub enum LogError {
    /// A file operation failed.
    #[error("could not {action} `{}`: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A picture is not a PNG file.
    #[error("{}: expected a PNG file, found another", .0.display())]
    Picture(PathBuf),
}

impl LogError {
    /// Returns a conversion for `map_err`, from the operation that failed and its path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
