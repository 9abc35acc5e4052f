//! Errors of pushing.

use std::io;
use std::path::PathBuf;

use crate::hub::error::HubError;

/// Errors from pushing a folder. No message contains the token or a signed storage address.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The names are not those of a repository and a branch.
    #[error("expected a repository `owner/name` and a branch, found `{name}`")]
    BadName {
        /// Both.
        name: String,
    },
    /// The network may not be used.
    #[error("HF_HUB_OFFLINE forbids to push; hint: unset it")]
    Offline,
    /// No token is set.
    #[error("pushing takes a token, found none; hint: set HF_TOKEN to one that may write")]
    NoToken,
    /// A file or folder cannot be read.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The folder has no files to push.
    #[error("`{}`: expected files to push, found none", .0.display())]
    Empty(PathBuf),
    /// A file's name cannot be that of a file in a repository.
    #[error("`{}`: expected a name of letters, digits, `-`, `_` and `.`", .0.display())]
    FileName(PathBuf),
    /// The Hub does not know the token (status 401).
    #[error(
        "{endpoint} does not know the token ({action} `{repository}`: status 401{reason}); \
         hint: HF_TOKEN may be misspelt or expired"
    )]
    Unauthorized {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The Hub.
        endpoint: String,
        /// The Hub's reason.
        reason: String,
    },
    /// The token may not do that (status 403).
    #[error(
        "the token may not {action} `{repository}` (status 403{reason}); \
         hint: it has to be one that may write there"
    )]
    Forbidden {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The Hub's reason.
        reason: String,
    },
    /// The repository or the branch does not exist (status 404).
    #[error(
        "could not {action} `{repository}`: there is no such thing at {endpoint} (status 404{reason})"
    )]
    NotFound {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The Hub.
        endpoint: String,
        /// The Hub's reason.
        reason: String,
    },
    /// The repository changed during the push (status 409 or 412).
    #[error(
        "could not {action} `{repository}`: it changed meanwhile (status {status}{reason}); \
         hint: push again"
    )]
    Conflict {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The status.
        status: u16,
        /// The Hub's reason.
        reason: String,
    },
    /// The Hub refuses for another reason.
    #[error("could not {action} `{repository}`: status {status}{reason}")]
    Refused {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The status.
        status: u16,
        /// The Hub's reason.
        reason: String,
    },
    /// The Hub could not be reached, or every attempt failed.
    #[error(
        "could not {action} `{repository}`: {reason} ({attempts} attempts); \
         hint: push again, what has been sent is not sent a second time"
    )]
    Unreachable {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// What went wrong the last time.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The Hub sent an invalid answer.
    #[error("could not {action} `{repository}`: the answer {reason}")]
    Protocol {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings of the Hub.
    #[error(transparent)]
    Hub(#[from] HubError),
}
