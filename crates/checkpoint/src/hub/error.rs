//! Errors of fetching from the Hub.

use std::io;
use std::path::PathBuf;

use ddpo_files::WriteFileError;

use crate::layout::LayoutError;

/// Why the Hub could not give a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No folder for the cache is named.
    #[error("no folder for fetched models: hint: set HF_HOME or HOME")]
    NoCache,
    /// The name is not one that a repository could have.
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
    /// There is no such repository, or it is private.
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
    /// There is no such revision.
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
    /// The Hub could not be reached, gave up half-way, or sent something else than promised.
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
        /// Whether the cache may stand in.
        unreachable: bool,
    },
    /// The cache could not be written.
    #[error("could not write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
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
    /// Everything was fetched, and it is no pipeline that can be opened.
    #[error(transparent)]
    Layout(Box<LayoutError>),
}

/// Why one request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    NoFile,
    NoRepository,
    NoRevision,
    Denied(u16),
    /// The server asks to come back later.
    Busy(u16),
    Unreachable(String),
    Short {
        expected: u64,
        found: u64,
    },
    Damaged(String),
    Protocol(String),
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Failure {
    /// Returns whether another attempt may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unreachable(_) | Self::Short { .. } | Self::Damaged(_))
    }

    /// Describes the failure for a message.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::NoFile => "the file is gone".to_owned(),
            Self::NoRepository | Self::NoRevision => "the repository is gone".to_owned(),
            Self::Denied(status) | Self::Busy(status) => format!("status {status}"),
            Self::Short { expected, found } => format!("expected {expected} bytes, found {found}"),
            Self::Damaged(what) | Self::Unreachable(what) | Self::Protocol(what) => what,
            Self::Disk(error) => error.to_string(),
        }
    }
}
