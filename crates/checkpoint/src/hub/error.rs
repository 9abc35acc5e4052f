//! Errors of fetching from the Hub.

use std::io;
use std::path::PathBuf;

use ddpo_files::WriteFileError;

use crate::layout::LayoutError;

/// Errors from fetching a repository.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No folder is set for the cache.
    #[error("no folder for fetched models: hint: set HF_HOME or HOME")]
    NoCache,
    /// The name is not a valid repository name.
    #[error("expected a repository `owner/name`, found `{name}`")]
    BadName {
        /// The name.
        name: String,
    },
    /// The network may not be used, and the cache does not have the pipeline.
    #[error(
        "`{repository}` is not complete in `{}` and HF_HUB_OFFLINE forbids fetching it; \
         hint: unset HF_HUB_OFFLINE, or fetch it once while online",
        cache.display()
    )]
    Offline {
        /// The repository.
        repository: String,
        /// Its folder in the cache.
        cache: PathBuf,
    },
    /// The Hub does not answer.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// The Hub.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// The repository does not exist or is private.
    #[error(
        "there is no repository `{repository}` at {endpoint}; \
         hint: check the spelling; for a private one set HF_TOKEN"
    )]
    NoRepository {
        /// The repository.
        repository: String,
        /// The Hub.
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
    /// The repository has none of the files that a pipeline or a model needs.
    #[error("repository `{repository}` is no {what}: expected {expected}, found none")]
    NoFile {
        /// What was wanted.
        what: &'static str,
        /// The repository.
        repository: String,
        /// The names that were tried.
        expected: String,
    },
    /// The Hub refuses access.
    #[error("access to `{repository}` was denied (status {status}); hint: {hint}")]
    Denied {
        /// The repository.
        repository: String,
        /// The HTTP status.
        status: u16,
        /// A way out.
        hint: &'static str,
    },
    /// The Hub could not be reached, closed the connection early, or sent wrong data.
    #[error("could not fetch `{file}` of `{repository}` from {endpoint}: {reason}")]
    Fetch {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// The Hub.
        endpoint: String,
        /// What went wrong.
        reason: String,
        /// Whether the cached snapshot may be used instead.
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
    /// Another process holds a file for too long.
    #[error("waited {seconds} s for another process that fetches the same file (`{}`)", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// How long.
        seconds: u64,
    },
    /// The trusted certificates could not be read.
    #[error("certificates `{}` (SSL_CERT_FILE): {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The fetched files are not a pipeline that can be opened.
    #[error(transparent)]
    Layout(Box<LayoutError>),
}

/// The failure of one request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the file is gone")]
    NoFile,
    #[error("the repository is gone")]
    NoRepository,
    #[error("the repository is gone")]
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
