//! Unpacks a checkpoint that is embedded in a program.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Errors from unpacking.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The temporary folder could not be created.
    #[error("could not create a temporary folder: {0}")]
    Folder(#[source] io::Error),
    /// A file could not be written to the temporary folder.
    #[error("could not write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Writes files, given as paths and bytes, into a temporary folder. The folder is removed when the
/// returned value is dropped.
///
/// # Errors
/// [`UnpackError`].
pub fn unpack(files: &[(&str, &[u8])]) -> Result<TempDir, UnpackError> {
    let folder = tempfile::tempdir().map_err(UnpackError::Folder)?;
    for (name, bytes) in files {
        let path = folder.path().join(name);
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|source| UnpackError::File { path, source })?;
    }
    Ok(folder)
}
