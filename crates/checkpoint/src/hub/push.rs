//! Pushes a folder to a repository on the Hub, as one commit.
//!
//! A push has four steps: create the repository if it does not exist; ask for each file whether it
//! belongs in the commit or in large storage (Git LFS); upload the files that large storage lacks; create
//! the commit. An interrupted push can be repeated: files that are already in large storage are not sent
//! again. Nothing is visible before the commit.
//!
//! Source: huggingface_hub 1.x, `_commit_api.py`, `lfs.py` and `hf_api.py` (`create_repo`,
//! `create_branch`, `create_commit`); git-lfs, `docs/api/batch.md`.

mod api;
mod error;
mod large;
mod local;
mod options;
mod sender;

pub use error::PushError;
pub use options::{Push, Visibility};

use crate::hub::settings::{HubSettings, Network};
use crate::names::{is_repository_name, is_revision};
use api::Api;
use local::LocalFile;
use sender::Sender;

/// The result of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Identifier of the commit.
    pub commit: String,
    /// URL of the repository's page.
    pub page: String,
    /// Number of files in the commit.
    pub files: usize,
    /// Bytes sent to large storage.
    pub sent_bytes: u64,
}

/// Pushes a folder to the Hub that `settings` describe. `progress` receives a line for each large file
/// and for each retry.
///
/// # Errors
/// [`PushError`]. The repository is then unchanged, unless only the response to the commit was lost.
pub fn push(
    settings: &HubSettings,
    push: &Push<'_>,
    progress: &mut dyn FnMut(&str),
) -> Result<Pushed, PushError> {
    if !is_repository_name(push.repository) || !is_revision(push.branch) {
        let name = format!("{}@{}", push.repository, push.branch);
        return Err(PushError::BadName { name });
    }
    if settings.network == Network::Offline {
        return Err(PushError::Offline);
    }
    let files = local::files(push.folder, push.leave_out)?;
    let sender = Sender::new(settings, push.repository)?;
    let mut api = Api { sender: &sender, push, progress };
    api.make_repository()?;
    api.make_branch()?;
    let (large, regular): (Vec<LocalFile>, Vec<LocalFile>) = {
        let modes = api.modes(&files)?;
        let kept = files.into_iter().filter(|file| modes.contains_key(&file.name));
        kept.partition(|file| modes[&file.name] == api::Mode::Large)
    };
    let large = local::digested(large)?;
    let sent_bytes = large::send(&mut api, &large)?;
    let commit = api.commit(&regular, &large)?;
    let page = format!("{}/{}", settings.endpoint, push.repository);
    Ok(Pushed { commit, page, files: regular.len() + large.len(), sent_bytes })
}
