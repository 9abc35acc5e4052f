//! Reads and writes files of a report.

use crate::error::ReportError;
use ddpo_files::{WriteFileError, write_file};
use std::fs;
use std::path::Path;

/// Reads the text of a file.
///
/// # Errors
/// [`ReportError::Io`].
pub fn read_text(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(ReportError::io(path))
}

/// Writes `bytes` to `path` atomically. Creates the folder if it is missing.
///
/// # Errors
/// [`ReportError::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ReportError::io(folder))?;
    }
    write_file(path, bytes)
        .map_err(|WriteFileError { path, source }| ReportError::Io { path, source })
}
