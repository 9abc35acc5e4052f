//! Fetching pipelines and image models from the Hugging Face Hub into the cache that
//! huggingface_hub uses.
//!
//! Files are asked for by name in both layouts; a snapshot is of one commit. Nothing that is
//! incomplete or damaged is ever used: a file is fetched beside its place, its length and, where
//! the Hub gives one, its SHA-256 are checked, and only then does it get its name. Without a
//! network the cache is enough.
//!
//! The `hf-hub` crate was considered: it publishes a download before anything is verified, waits
//! without deadlines and has no offline mode, so the few requests are made here.

mod cache;
mod client;
mod download;
pub mod push;
mod settings;
mod wanted;

use std::io;
use std::path::PathBuf;

pub use settings::{HubSettings, Network};

use ddpo_files::WriteFileError;

use crate::layout::LayoutError;
use cache::RepositoryCache;
use client::{Client, Remote};
use wanted::Wanted;

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
    /// Whether another attempt may help.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unreachable(_) | Self::Short { .. } | Self::Damaged(_))
    }

    fn reason(self) -> String {
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

/// A Hub and its cache.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    client: Client,
}

/// The commit that a pipeline or a model is fetched from.
pub(crate) struct Commit<'a> {
    wanted: Wanted<'a>,
    repository: &'a str,
    cache: &'a RepositoryCache,
    revision: String,
}

impl Hub {
    /// The Hub that `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE`
    /// describe.
    ///
    /// # Errors
    /// When there is no folder for the cache, or the trusted certificates cannot be read.
    pub fn from_env() -> Result<Self, HubError> {
        Self::new(HubSettings::from_env()?)
    }

    /// A Hub with these settings.
    ///
    /// # Errors
    /// When the trusted certificates cannot be read.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        Ok(Self { client: Client::new(&settings)?, settings })
    }

    /// Fetches the files of a pipeline that are not cached yet and returns the folder of the
    /// snapshot, which [`crate::open_pipeline`] opens. `revision` is a branch, tag or commit; `main`
    /// unless given. `progress` gets a line now and then.
    ///
    /// # Errors
    /// When the repository is not there, is no pipeline, or may not be read; or when the Hub
    /// cannot be reached and the cache is not complete.
    pub fn fetch_pipeline(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        self.fetch(Wanted::Pipeline, repo, revision, progress)
    }

    pub(crate) fn fetch(
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
        match (self.fetch_snapshot(wanted, &cache, repo, revision, progress), cached) {
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

    fn fetch_snapshot(
        &self,
        wanted: Wanted<'_>,
        cache: &RepositoryCache,
        repository: &str,
        revision: &str,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        let revision_asked = revision.to_owned();
        let mut commit = Commit { wanted, repository, cache, revision: revision_asked };
        self.fetch_wanted(wanted, &mut commit, progress)?;
        let snapshot = cache.snapshot(&commit.revision);
        wanted.check(&snapshot).map_err(|error| HubError::Layout(Box::new(error)))?;
        cache.remember(revision, &commit.revision)?;
        Ok(snapshot)
    }

    /// The first of some files that the repository has.
    fn first_of<'n>(
        &self,
        commit: &Commit<'_>,
        names: &[&'n str],
    ) -> Result<(&'n str, Remote), HubError> {
        for name in names {
            if let Some(remote) = self.ask(commit, name)? {
                return Ok((name, remote));
            }
        }
        Err(HubError::NoFile {
            what: commit.wanted.describe(),
            repository: commit.repository.to_owned(),
            expected: names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
        })
    }

    fn ask(&self, commit: &Commit<'_>, file: &str) -> Result<Option<Remote>, HubError> {
        let url = self.client.url(commit.repository, &commit.revision, file);
        match self.client.ask(&url) {
            Ok(remote) => Ok(Some(remote)),
            Err(Failure::NoFile) => Ok(None),
            Err(failure) => Err(self.error(commit, file, failure)),
        }
    }

    fn fetch_file(
        &self,
        commit: &Commit<'_>,
        file: &str,
        remote: &Remote,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HubError> {
        let cache = commit.cache;
        let blob = cache.blob(&remote.etag);
        if !blob.exists() {
            let lock = cache.lock(&remote.etag, self.settings.lock_patience, progress)?;
            if !blob.exists() {
                let url = self.client.url(commit.repository, &commit.revision, file);
                let mut report = Report::new(commit.repository, file, remote.size, progress);
                download::download(&self.client, &url, remote, &blob, &mut |at| report.reached(at))
                    .map_err(|failure| self.error(commit, file, failure))?;
            }
            drop(lock);
        }
        cache.link(&commit.revision, file, &remote.etag)
    }

    fn error(&self, commit: &Commit<'_>, file: &str, failure: Failure) -> HubError {
        let repository = commit.repository.to_owned();
        match failure {
            // The Hub does not tell a missing repository from a private one without a token.
            Failure::NoRepository => {
                HubError::NoRepository { repository, endpoint: self.settings.endpoint.clone() }
            }
            Failure::NoRevision => {
                HubError::NoRevision { repository, revision: commit.revision.clone() }
            }
            Failure::Denied(status) => {
                let hint = match self.settings.token {
                    None => "set HF_TOKEN to a token that may read it",
                    Some(_) => "the token in HF_TOKEN may not read it",
                };
                HubError::Denied { repository, status, hint }
            }
            Failure::Disk(source) => HubError::Io { path: commit.cache.root().to_owned(), source },
            failure => HubError::Fetch {
                repository,
                file: file.to_owned(),
                endpoint: self.settings.endpoint.clone(),
                unreachable: matches!(failure, Failure::Unreachable(_) | Failure::Busy(_)),
                reason: failure.reason(),
            },
        }
    }
}

/// Says how far a download is, at the start and at every tenth.
struct Report<'a> {
    file: &'a str,
    size: Option<u64>,
    tenths: u64,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> Report<'a> {
    fn new(
        repository: &str,
        file: &'a str,
        size: Option<u64>,
        progress: &'a mut dyn FnMut(&str),
    ) -> Self {
        match size {
            Some(size) => {
                progress(&format!("fetching {file} of {repository} ({:.1} MB)", size as f64 / 1e6))
            }
            None => progress(&format!("fetching {file} of {repository}")),
        }
        Self { file, size, tenths: 0, progress }
    }

    fn reached(&mut self, at: u64) {
        // Small files are there before anyone can read a second line.
        let Some(size) = self.size.filter(|size| *size > 10_000_000) else { return };
        let tenths = at.saturating_mul(10) / size;
        if tenths > self.tenths {
            self.tenths = tenths;
            (self.progress)(&format!("fetching {}: {} %", self.file, tenths * 10));
        }
    }
}

/// Whether a name could be that of a repository: `owner/name`, of letters, digits, `-`, `_`, `.`.
pub(crate) fn is_repository_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.len() <= 96 && part.bytes().all(plain)
    };
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Whether a path could be that of a file in a repository, and stays in its snapshot.
pub(crate) fn is_file_name(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    path.len() <= 256 && path.split('/').all(part)
}

/// Whether a revision could be one, and could be the name of a file.
fn is_revision(revision: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    revision.len() <= 128 && revision.split('/').all(part)
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{is_commit, is_repository_name, is_revision};

    #[test]
    fn repository_names_are_told_from_paths() {
        for name in ["google/ddpm-church-256", "a/b", "Owner_1/na.me"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in ["", "a", "/a", "a/", "./a", "../a", "a/../b", "a/b/c", "a/.b", "a b/c", "~/a"]
        {
            assert!(!is_repository_name(name), "{name}");
        }
    }

    #[test]
    fn revisions_cannot_leave_the_cache() {
        assert!(is_revision("main") && is_revision("refs/pr/1") && is_revision("v1.0"));
        assert!(!is_revision("../x") && !is_revision("a//b") && !is_revision(""));
        assert!(is_commit(&"a1".repeat(20)) && !is_commit("main"));
    }
}
