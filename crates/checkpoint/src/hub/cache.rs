//! The cache on disk, whose layout is that of huggingface_hub:
//! `models--OWNER--NAME/{blobs/ETAG, refs/REVISION, snapshots/COMMIT/FILE -> blob}`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ddpo_files::{parent, write_file};

use crate::hub::error::HubError;
use crate::hub::wanted::Wanted;

/// Interval between two attempts to take a lock.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The folder of one repository in the cache.
#[derive(Debug)]
pub(crate) struct RepositoryCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    /// Creates the cache of the repository `owner/name` in the folder `cache`.
    pub(crate) fn new(cache: &Path, repository: &str) -> Self {
        let folder = format!("models--{}", repository.replace('/', "--"));
        Self { locks: cache.join(".locks").join(&folder), root: cache.join(folder) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of one commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Returns the path of the content named `etag`.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Returns the snapshot of a revision, if it exists and is complete.
    pub(crate) fn complete_snapshot(&self, revision: &str, wanted: Wanted<'_>) -> Option<PathBuf> {
        let commit = match fs::read_to_string(self.root.join("refs").join(revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        Some(self.snapshot(&commit)).filter(|folder| wanted.is_complete(folder))
    }

    /// Records the commit of a revision. Call it when the commit's snapshot is complete.
    pub(crate) fn remember(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.root.join("refs").join(revision);
        if revision == commit {
            return Ok(());
        }
        make_folder(parent(&path))?;
        Ok(write_file(&path, commit.as_bytes())?)
    }

    /// Links `file` of a snapshot to its content.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(file);
        make_folder(parent(&path))?;
        // Two levels up from `snapshots/COMMIT/`, and one more for each folder in `file`.
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if fs::read_link(&path).is_ok_and(|present| present == target) {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => symlink(&target, &path),
        }
        .map_err(|source| HubError::Io { path, source })
    }

    /// Takes the lock of this content, waiting for other processes. Dropping the returned file releases
    /// the lock.
    pub(crate) fn lock(
        &self,
        etag: &str,
        patience: Duration,
        progress: &mut dyn FnMut(&str),
    ) -> Result<File, HubError> {
        make_folder(&self.locks)?;
        make_folder(&self.root.join("blobs"))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let io = |source| HubError::Io { path: path.clone(), source };
        let file = File::create(&path).map_err(io)?;
        let deadline = Instant::now() + patience;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(HubError::Locked { path, seconds: patience.as_secs() });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                progress("waiting for another process that fetches the same file");
                told = true;
            }
            thread::sleep(LOCK_POLL);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), HubError> {
    fs::create_dir_all(path).map_err(|source| HubError::Io { path: path.into(), source })
}
