//! Errors from fetching from the Hub.

use std::io;
use std::path::PathBuf;

use ddpo_files::WriteFileError;

use crate::layout::LayoutError;
use crate::tensors::TensorFileError;

/// Errors from fetching a repository.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No cache folder is set.
    #[error("no cache folder for models is set; hint: set HF_HOME or HOME")]
    NoCache,
    /// The name is not a valid repository name.
    #[error("expected a repository `owner/name`, found `{name}`")]
    BadName {
        /// The name.
        name: String,
    },
    /// Offline mode is on, and the cache does not have the repository's files.
    #[error(
        "`{repository}` is not complete in `{}`, and HF_HUB_OFFLINE disables fetching; \
         hint: unset HF_HUB_OFFLINE, or fetch it once while online",
        cache.display()
    )]
    Offline {
        /// The repository.
        repository: String,
        /// Folder of the repository in the cache.
        cache: PathBuf,
    },
    /// The Hub does not respond.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// Address of the Hub.
        endpoint: String,
        /// The connection's error.
        reason: String,
    },
    /// The repository does not exist or is private.
    #[error(
        "repository `{repository}` not found at {endpoint}; \
         hint: check the spelling; set HF_TOKEN if it is private"
    )]
    NoRepository {
        /// The repository.
        repository: String,
        /// Address of the Hub.
        endpoint: String,
    },
    /// The revision does not exist.
    #[error("repository `{repository}` has no revision `{revision}`")]
    NoRevision {
        /// The repository.
        repository: String,
        /// The revision.
        revision: String,
    },
    /// The repository lacks a required file.
    #[error("repository `{repository}` does not contain {what}: expected {expected}, found none")]
    NoFile {
        /// The requested kind of content.
        what: &'static str,
        /// The repository.
        repository: String,
        /// The names that were tried.
        expected: String,
    },
    /// The Hub denies access.
    #[error("access to `{repository}` was denied (status {status}); hint: {hint}")]
    Denied {
        /// The repository.
        repository: String,
        /// The HTTP status.
        status: u16,
        /// How to get access.
        hint: &'static str,
    },
    /// The Hub could not be reached, closed the connection early, or sent wrong data.
    #[error("could not fetch `{file}` of `{repository}` from {endpoint}: {reason}")]
    Fetch {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Address of the Hub.
        endpoint: String,
        /// The cause.
        reason: String,
        /// Whether to use the cached snapshot instead.
        unreachable: bool,
    },
    /// The cache could not be written.
    #[error("could not write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of the cache could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// Another process held the lock of a file for too long.
    #[error("waited {seconds} s for another process that fetches the same file (`{}`)", path.display())]
    Locked {
        /// Path of the lock.
        path: PathBuf,
        /// Waiting time.
        seconds: u64,
    },
    /// The trusted certificates could not be read.
    #[error("certificates `{}` (SSL_CERT_FILE): {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The fetched files cannot be opened as a pipeline or model.
    #[error(transparent)]
    Layout(Box<LayoutError>),
    /// The fetched index of weights cannot be read.
    #[error(transparent)]
    Index(Box<TensorFileError>),
}

/// The failure of one request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the file was not found")]
    NoFile,
    #[error("the repository was not found")]
    NoRepository,
    #[error("the revision was not found")]
    NoRevision,
    #[error("status {0}")]
    Denied(u16),
    /// The server is busy.
    #[error("status {0}")]
    Busy(u16),
    #[error("{0}")]
    Unreachable(String),
    #[error("expected {expected} bytes, found {found}")]
    Short { expected: u64, found: u64 },
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Protocol(String),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Failure {
    /// Returns whether another attempt may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unreachable(_) | Self::Short { .. } | Self::Damaged(_))
    }
}
