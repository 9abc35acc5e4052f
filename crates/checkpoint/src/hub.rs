//! Fetching pipelines and image models from the Hugging Face Hub into the cache that
//! huggingface_hub uses.
//!
//! Files are requested by name in both layouts, and a snapshot holds the files of one commit. A
//! download is written to a temporary file. It gets its name after its length and, if the Hub sends
//! one, its SHA-256 have been checked, so an incomplete or damaged file is never used. Without a
//! network the cache is used.
//!
//! The `hf-hub` crate does not fit: it publishes a download before it is verified, waits without
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
    /// Creates the Hub that `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and
    /// `HF_HUB_OFFLINE` describe.
    ///
    /// # Errors
    /// If no folder is set for the cache, or the trusted certificates cannot be read.
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

    /// Asks the Hub for its first page, once.
    ///
    /// # Errors
    /// [`HubError::Unreachable`].
    pub fn reach(&self) -> Result<(), HubError> {
        let endpoint = self.settings.endpoint.clone();
        self.client.reach().map_err(|reason| HubError::Unreachable { endpoint, reason })
    }

    /// Fetches the missing files of a pipeline and returns the folder of the snapshot, which
    /// [`crate::open_pipeline`] opens. `revision` is a branch, tag or commit; the default is `main`.
    /// `progress` receives lines for the user.
    ///
    /// # Errors
    /// If the repository does not exist, is not a pipeline, or may not be read; or if the Hub cannot
    /// be reached and the cache is not complete.
    pub fn fetch_pipeline(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        self.fetch(Wanted::Pipeline, repo, revision, progress)
    }

    /// Fetches the files of an image model, as [`Hub::fetch_pipeline`] fetches those of a pipeline,
    /// and returns the folder that [`crate::open_model`] opens.
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
