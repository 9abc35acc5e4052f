//! What the fuzz targets share: files in memory, for parsers that read files.

pub mod json;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

/// A folder for the files of this process, in memory where the system has such a place.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder for temporary files")
});

/// Returns the folder of [`written`].
pub fn folder() -> &'static Path {
    FOLDER.path()
}

/// Writes `bytes` to the file `name`, replacing what an earlier input left there.
pub fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("space for a small file");
    path
}
