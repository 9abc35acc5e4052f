//! A file that grows by whole records.

use crate::error::LogError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that is appended to. After a failed write the old length is restored, so a partial record
/// can only result from a killed process.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Growing {
    /// Opens or creates a file and truncates it to `length`.
    pub fn open(path: &Path, length: u64) -> Result<Self, LogError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(LogError::io("open", path))?;
        file.set_len(length).map_err(LogError::io("cut", path))?;
        Ok(Self { path: path.into(), file, length })
    }

    /// Appends `bytes` and syncs them to disk.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Only the first error is reported; readers stop at a partial record.
            let _ = self.file.set_len(self.length);
            return Err(LogError::io("write", &self.path)(source));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_after_truncating() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"whole, and half of").unwrap();
        let mut file = Growing::open(&path, 5).unwrap();
        file.append(b" again").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole again");
    }

    #[test]
    fn names_a_missing_folder() {
        let folder = tempfile::tempdir().unwrap();
        let error = Growing::open(&folder.path().join("nowhere/log"), 0).unwrap_err().to_string();
        assert!(error.starts_with("could not open `") && error.contains("nowhere/log"), "{error}");
    }
}
