//! Reads and writes files. Writes are atomic: a temporary file is renamed, so readers never see a part of a file.

use crate::error::ReportError;
use std::fs;
use std::path::Path;

/// Reads the text of a file.
///
/// # Errors
/// [`ReportError::Io`].
pub fn read_text(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(ReportError::io(path))
}

/// Writes `bytes` to a temporary file and renames it to `path`; creates the folder.
///
/// # Errors
/// [`ReportError::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ReportError::io(folder))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // If the removal fails too, the first error is the more useful one.
        let _ = fs::remove_file(&beside);
        ReportError::Io { path: path.into(), source }
    })
}
