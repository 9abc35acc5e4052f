//! Pushing a folder to a repository on the Hub, as one commit.
//!
//! The Hub is asked in four steps: the repository is made, or found; for each file it says whether
//! it wants it within the commit or in large storage (Git LFS); what large storage lacks is sent
//! there; the commit names all of it. A push that broke off is simply made again: what large storage
//! has by then is not sent a second time, and until the commit nothing of it is to be seen.
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

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit.
    pub commit: String,
    /// The repository's page.
    pub page: String,
    /// Files in the commit.
    pub files: usize,
    /// Bytes that were sent to large storage.
    pub sent_bytes: u64,
}

/// Pushes a folder to the Hub of these settings. `progress` gets a line for each large file, and one
/// where something is tried again.
///
/// # Errors
/// [`PushError`]; nothing of the push is in the repository then, unless only the last answer was lost.
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
