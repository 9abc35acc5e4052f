//! Fetches pipelines and image models from the Hugging Face Hub into the cache of huggingface_hub.
//!
//! Files are requested by name in both layouts, and a snapshot holds the files of one commit. A
//! download goes to a temporary file, which is renamed after its length and, if the Hub sends one, its
//! SHA-256 are verified. An incomplete or damaged file is therefore never used. Without a network the
//! cache is used.
//!
//! The `hf-hub` crate is not suitable: it publishes downloads before verifying them, waits without
//! deadlines and has no offline mode.

mod backoff;
mod cache;
mod client;
mod commit;
mod download;
mod error;
pub mod push;
mod settings;
mod wanted;

use std::path::PathBuf;

pub use error::HubError;
pub use settings::{HubSettings, Network};

use crate::names::{is_commit, is_repository_name, is_revision};
use cache::RepositoryCache;
use client::Client;
use commit::Commit;
use wanted::Wanted;

/// A Hub and its cache.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    client: Client,
}

impl Hub {
    /// Creates a Hub from `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// If no cache folder is set, or the trusted certificates cannot be read.
    pub fn from_env() -> Result<Self, HubError> {
        Self::new(HubSettings::from_env()?)
    }

    /// Creates a Hub with these settings.
    ///
    /// # Errors
    /// If the trusted certificates cannot be read.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        Ok(Self { client: Client::new(&settings)?, settings })
    }

    /// Requests the Hub's home page once, to check that the Hub is reachable.
    ///
    /// # Errors
    /// [`HubError::Unreachable`].
    pub fn reach(&self) -> Result<(), HubError> {
        let endpoint = self.settings.endpoint.clone();
        self.client.reach().map_err(|reason| HubError::Unreachable { endpoint, reason })
    }

    /// Fetches the missing files of a pipeline and returns the folder of the snapshot, for
    /// [`crate::open_pipeline`]. `revision` is a branch, tag or commit; the default is `main`.
    /// `progress` receives lines for the user.
    ///
    /// # Errors
    /// If the repository does not exist, is not a pipeline, or denies access; or if the Hub cannot be
    /// reached and the cache is not complete.
    pub fn fetch_pipeline(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        self.fetch(Wanted::Pipeline, repo, revision, progress)
    }

    /// Fetches the missing files of an image model like [`Hub::fetch_pipeline`], and returns the folder
    /// for [`crate::open_model`].
    ///
    /// # Errors
    /// See [`Hub::fetch_pipeline`].
    pub fn fetch_model(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        self.fetch(Wanted::Model, repo, revision, progress)
    }

    /// Fetches one file and returns its path in the cache.
    ///
    /// # Errors
    /// See [`Hub::fetch_pipeline`].
    pub fn fetch_one(
        &self,
        repo: &str,
        file: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        let folder = self.fetch(Wanted::File(file), repo, revision, progress)?;
        Ok(folder.join(file))
    }

    fn fetch(
        &self,
        wanted: Wanted<'_>,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        let revision = revision.unwrap_or("main");
        if !is_repository_name(repo) || !is_revision(revision) {
            return Err(HubError::BadName { name: format!("{repo}@{revision}") });
        }
        let cache = RepositoryCache::new(&self.settings.cache, repo);
        let cached = cache.complete_snapshot(revision, wanted);
        match cached {
            Some(folder) if self.is_offline() || is_commit(revision) => return Ok(folder),
            None if self.is_offline() => {
                let (repository, cache) = (repo.to_owned(), cache.root().to_owned());
                return Err(HubError::Offline { repository, cache });
            }
            _ => {}
        }
        let commit = Commit::new(&self.settings, &self.client, wanted, repo, &cache, revision);
        match (commit.fetch(progress), cached) {
            (Err(HubError::Fetch { unreachable: true, reason, .. }), Some(folder)) => {
                progress(&format!("the hub cannot be reached ({reason}); using the cached {repo}"));
                Ok(folder)
            }
            (fetched, _) => fetched,
        }
    }

    fn is_offline(&self) -> bool {
        self.settings.network == Network::Offline
    }
}
