//! The advisory lock that admits one process at a time to the folder of a run. The operating system
//! releases it when the process ends, for any reason.

use crate::error::FolderError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The locked file. It is empty and never removed: removing it could invalidate the lock of another
/// process.
const NAME: &str = ".lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Locks the folder `root`, which must exist.
    ///
    /// # Errors
    /// [`FolderError::InUse`] if another process holds the lock, [`FolderError::Io`] if the system does
    /// not support locks.
    pub fn take(root: &Path) -> Result<Self, FolderError> {
        let path = root.join(NAME);
        let options = || File::options().create(true).append(true).open(&path);
        let file = options().map_err(FolderError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(root.into())),
            Err(TryLockError::Error(error)) => Err(FolderError::io("lock", &path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_second_lock_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let second = RunLock::take(folder.path());
        assert!(matches!(second, Err(FolderError::InUse(path)) if path == folder.path()));
        drop(lock);
        RunLock::take(folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path().join(NAME)).unwrap(), b"");
    }

    #[test]
    fn names_the_missing_folder() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunLock::take(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("could not open ") && error.contains("nowhere/.lock"), "{error}");
    }
}
