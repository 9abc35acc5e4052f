//! Errors from pushing.

use std::io;
use std::path::PathBuf;

use crate::hub::error::HubError;

/// Errors from pushing a folder. No message contains the token or a signed storage address.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The name of the repository or of the branch is invalid.
    #[error("expected a repository `owner/name` and a branch, found `{name}`")]
    BadName {
        /// `REPOSITORY@BRANCH`.
        name: String,
    },
    /// Offline mode is on.
    #[error("HF_HUB_OFFLINE disables pushing; hint: unset it")]
    Offline,
    /// No token is set.
    #[error("pushing needs a token, found none; hint: set HF_TOKEN to a token with write access")]
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
    /// A file's name is not valid in a repository.
    #[error("`{}`: expected a name of letters, digits, `-`, `_` and `.`", .0.display())]
    FileName(PathBuf),
    /// The Hub rejected a request.
    #[error("{}", refused(action, repository, endpoint, *status, reason))]
    Refused {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// Address of the Hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The Hub's reason.
        reason: String,
    },
    /// The Hub could not be reached, or every attempt failed.
    #[error(
        "could not {action} `{repository}`: {reason} ({attempts} attempts); \
         hint: push again; files that were already sent are not sent again"
    )]
    Unreachable {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// Cause of the last failure.
        reason: String,
        /// Number of attempts.
        attempts: u32,
    },
    /// The Hub sent an invalid response.
    #[error("could not {action} `{repository}`: the response {reason}")]
    Protocol {
        /// The action that failed.
        action: &'static str,
        /// The repository.
        repository: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// The settings of the Hub are invalid.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Returns the message for a status of the Hub.
fn refused(action: &str, repository: &str, endpoint: &str, status: u16, reason: &str) -> String {
    let failed = format!("could not {action} `{repository}`");
    match status {
        300..=399 => {
            format!("{failed}: status {status}: it was renamed; hint: push to its new name")
        }
        401 => format!(
            "{endpoint} rejected the token ({action} `{repository}`: status 401{reason}); \
             hint: HF_TOKEN may be misspelt or expired"
        ),
        403 => format!(
            "the token may not {action} `{repository}` (status 403{reason}); \
             hint: use a token with write access to the repository"
        ),
        404 => {
            format!("{failed}: not found at {endpoint} (status 404{reason})")
        }
        409 | 412 => {
            format!(
                "{failed}: it changed during the push (status {status}{reason}); hint: push again"
            )
        }
        _ => format!("{failed}: status {status}{reason}"),
    }
}
