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
    /// The Hub refuses.
    #[error("{}", refused(action, repository, endpoint, *status, reason))]
    Refused {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// The Hub.
        endpoint: String,
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

/// Returns what a status of the Hub means for a push.
fn refused(action: &str, repository: &str, endpoint: &str, status: u16, reason: &str) -> String {
    let failed = format!("could not {action} `{repository}`");
    match status {
        300..=399 => {
            format!("{failed}: status {status}: it has moved; hint: push to its new name")
        }
        401 => format!(
            "{endpoint} does not know the token ({action} `{repository}`: status 401{reason}); \
             hint: HF_TOKEN may be misspelt or expired"
        ),
        403 => format!(
            "the token may not {action} `{repository}` (status 403{reason}); \
             hint: it has to be one that may write there"
        ),
        404 => {
            format!("{failed}: there is no such thing at {endpoint} (status 404{reason})")
        }
        409 | 412 => {
            format!("{failed}: it changed meanwhile (status {status}{reason}); hint: push again")
        }
        _ => format!("{failed}: status {status}{reason}"),
    }
}
