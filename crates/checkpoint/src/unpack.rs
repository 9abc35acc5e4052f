//! Laying out a checkpoint that is part of a program, so that it is read as any other.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Why the files could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// There is no place for a temporary folder.
    #[error("could not create a temporary folder: {0}")]
    Folder(#[source] io::Error),
    /// A file could not be written there.
    #[error("could not write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes files, each a path and its bytes, into a temporary folder, which goes when it is dropped.
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
