//! Files of a run that lie in the folder of its log too.

use crate::error::LogError;
use std::path::Path;

/// Makes `to` the same file as `from`, or a copy where the file system cannot. For what nobody
/// changes: a run's pictures.
pub fn link(from: &Path, to: &Path) -> Result<(), LogError> {
    make_room(to)?;
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => copy(from, to),
    }
}

/// Makes `to` a copy of `from`, which shares its blocks where the file system can do that.
pub fn copy(from: &Path, to: &Path) -> Result<(), LogError> {
    make_room(to)?;
    let copied = std::fs::copy(from, to).map_err(LogError::io("write", to));
    if copied.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(to);
    }
    copied.map(drop)
}

/// Makes the folder of `to`, and removes a file that is there already.
fn make_room(to: &Path) -> Result<(), LogError> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(LogError::io("create", folder))?;
    }
    match to.exists() {
        true => std::fs::remove_file(to).map_err(LogError::io("replace", to)),
        false => Ok(()),
    }
}
