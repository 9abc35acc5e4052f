//! One process at a time works in the folder of a run: an advisory lock, which the system takes
//! back from a process that ends, however it ends.

use crate::error::FolderError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The file that is locked. It is empty and stays: whoever removed it could remove it from under
/// another's lock.
const NAME: &str = ".lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of the folder `root`, which has to be there.
    ///
    /// # Errors
    /// [`FolderError::InUse`] if another process has it, [`FolderError::Io`] if the system offers
    /// no lock.
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
    fn the_lock_is_one_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let second = RunLock::take(folder.path());
        assert!(matches!(second, Err(FolderError::InUse(path)) if path == folder.path()));
        drop(lock);
        RunLock::take(folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path().join(NAME)).unwrap(), b"");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunLock::take(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("could not open ") && error.contains("nowhere/.lock"), "{error}");
    }
}
