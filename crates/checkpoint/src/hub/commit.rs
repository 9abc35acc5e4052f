//! Fetches the files of one commit of a repository.

use std::path::PathBuf;

use crate::front_matter::MODEL_CARD;
use crate::hub::cache::RepositoryCache;
use crate::hub::client::{Client, Remote};
use crate::hub::download::download;
use crate::hub::error::{Failure, HubError};
use crate::hub::settings::HubSettings;
use crate::hub::wanted::Wanted;
use crate::layout::{CONFIG, MODEL_INDEX};
use crate::model_folder::{MODEL_WEIGHTS, PREPROCESSOR, PROCESSOR, nested_processor};
use crate::tensors::index::{Index, is_index};
use crate::weights::names_on_the_hub;

/// Averaged weights in a checkpoint that ddpo wrote.
const AVERAGED_WEIGHTS: &str = "unet_ema/diffusion_pytorch_model.safetensors";

/// Maximum of listed names in a message.
const MOST_NAMES: usize = 4;

/// The commit to fetch a pipeline, a model or a file from.
pub(crate) struct Commit<'a> {
    settings: &'a HubSettings,
    client: &'a Client,
    wanted: Wanted<'a>,
    repository: &'a str,
    cache: &'a RepositoryCache,
    /// The requested revision.
    asked: &'a str,
    /// The revision to fetch from: `asked`, then its commit as soon as the Hub has reported it.
    revision: String,
}

impl<'a> Commit<'a> {
    /// Creates a fetch of `wanted` from the revision `asked`.
    pub(crate) fn new(
        settings: &'a HubSettings,
        client: &'a Client,
        wanted: Wanted<'a>,
        repository: &'a str,
        cache: &'a RepositoryCache,
        asked: &'a str,
    ) -> Self {
        let revision = asked.to_owned();
        Self { settings, client, wanted, repository, cache, asked, revision }
    }

    /// Fetches the wanted files into the commit's snapshot and returns its folder. The first response
    /// names the commit. All other files are requested from that commit, so that a concurrent push
    /// cannot mix two versions.
    pub(crate) fn fetch(mut self, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, HubError> {
        match self.wanted {
            Wanted::Pipeline => self.fetch_pipeline(progress)?,
            Wanted::Model => {
                self.fetch_first(&[CONFIG], progress)?;
                self.fetch_image_processor(progress)?;
                self.fetch_weights("", &MODEL_WEIGHTS, progress)?;
            }
            Wanted::File(name) => {
                self.fetch_first(&[name], progress)?;
            }
        }
        let snapshot = self.cache.snapshot(&self.revision);
        self.wanted.check(&snapshot).map_err(|error| HubError::Layout(Box::new(error)))?;
        self.cache.remember(self.asked, &self.revision)?;
        Ok(snapshot)
    }

    /// Fetches the file that [`open_model`](crate::open_model) reads the image processor from.
    fn fetch_image_processor(&mut self, progress: &mut dyn FnMut(&str)) -> Result<(), HubError> {
        if self.ask(PROCESSOR)?.is_some() {
            self.fetch_first(&[PROCESSOR], progress)?;
            let snapshot = self.cache.snapshot(&self.revision);
            let nested = nested_processor(&snapshot);
            if nested.map_err(|error| HubError::Layout(Box::new(error)))?.is_some() {
                return Ok(());
            }
        }
        self.fetch_first(&[PREPROCESSOR], progress)?;
        Ok(())
    }

    fn fetch_pipeline(&mut self, progress: &mut dyn FnMut(&str)) -> Result<(), HubError> {
        let config = self.fetch_first(&["unet/config.json", CONFIG], progress)?;
        let prefix = config.strip_suffix(CONFIG).unwrap_or_default();
        // The card states the model's licence. A checkpoint of ddpo may also have averaged weights.
        for file in [MODEL_INDEX, MODEL_CARD, AVERAGED_WEIGHTS] {
            if let Some(remote) = self.ask(file)? {
                self.fetch_file(file, &remote, progress)?;
            }
        }
        let schedulers = ["scheduler/scheduler_config.json", "scheduler_config.json"];
        self.fetch_first(&schedulers, progress)?;
        self.fetch_weights(prefix, &names_on_the_hub(), progress)
    }

    /// Fetches the first of `names` in the folder `prefix`, with all files of an index.
    fn fetch_weights(
        &mut self,
        prefix: &str,
        names: &[impl AsRef<str>],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HubError> {
        let names: Vec<String> =
            names.iter().map(|name| format!("{prefix}{}", name.as_ref())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.fetch_first(&names, progress)?;
        let path = self.cache.snapshot(&self.revision).join(name);
        if !is_index(&path) {
            return Ok(());
        }
        let index = Index::read(&path).map_err(|error| HubError::Index(Box::new(error)))?;
        for file in index.names() {
            self.fetch_first(&[&format!("{prefix}{file}")], progress)?;
        }
        Ok(())
    }

    /// Fetches the first of `names` that the repository has, and returns that name.
    fn fetch_first<'n>(
        &mut self,
        names: &[&'n str],
        progress: &mut dyn FnMut(&str),
    ) -> Result<&'n str, HubError> {
        let (name, remote) = self.first_of(names)?;
        self.revision.clone_from(&remote.commit);
        self.fetch_file(name, &remote, progress)?;
        Ok(name)
    }

    /// Returns the first of `names` that the repository has.
    fn first_of<'n>(&self, names: &[&'n str]) -> Result<(&'n str, Remote), HubError> {
        for name in names {
            if let Some(remote) = self.ask(name)? {
                return Ok((name, remote));
            }
        }
        let shown = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`"));
        let mut expected = shown.collect::<Vec<_>>().join(" or ");
        if names.len() > MOST_NAMES {
            expected += &format!(" or one of {} other names", names.len() - MOST_NAMES);
        }
        let (what, repository) = (self.wanted.describe(), self.repository.to_owned());
        Err(HubError::NoFile { what, repository, expected })
    }

    fn ask(&self, file: &str) -> Result<Option<Remote>, HubError> {
        match self.client.ask(&self.url(file)) {
            Ok(remote) => Ok(Some(remote)),
            Err(Failure::NoFile) => Ok(None),
            Err(failure) => Err(self.error(file, failure)),
        }
    }

    fn fetch_file(
        &self,
        file: &str,
        remote: &Remote,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HubError> {
        let blob = self.cache.blob(&remote.etag);
        if !blob.exists() {
            let _lock = self.cache.lock(&remote.etag, self.settings.lock_patience, progress)?;
            if !blob.exists() {
                let mut report = Report::new(self.repository, file, remote.size, progress);
                let url = self.url(file);
                download(self.client, &url, remote, &blob, &mut |at| report.reached(at))
                    .map_err(|failure| self.error(file, failure))?;
            }
        }
        self.cache.link(&self.revision, file, &remote.etag)
    }

    fn url(&self, file: &str) -> String {
        self.client.url(self.repository, &self.revision, file)
    }

    fn error(&self, file: &str, failure: Failure) -> HubError {
        let repository = self.repository.to_owned();
        match failure {
            // Without a token the Hub gives the same response for missing and private repositories.
            Failure::NoRepository => {
                HubError::NoRepository { repository, endpoint: self.settings.endpoint.clone() }
            }
            Failure::NoRevision => {
                HubError::NoRevision { repository, revision: self.revision.clone() }
            }
            Failure::Denied(status) => {
                let hint = match self.settings.token {
                    None => "set HF_TOKEN to a token with read access",
                    Some(_) => "the token in HF_TOKEN has no read access",
                };
                HubError::Denied { repository, status, hint }
            }
            Failure::Disk(source) => HubError::Io { path: self.cache.root().to_owned(), source },
            failure => HubError::Fetch {
                repository,
                file: file.to_owned(),
                endpoint: self.settings.endpoint.clone(),
                unreachable: matches!(failure, Failure::Unreachable(_) | Failure::Busy(_)),
                reason: failure.to_string(),
            },
        }
    }
}

/// Reports the progress of a download: one line at the start and one for every 10 %.
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
        // Small files finish before a second line is useful.
        let Some(size) = self.size.filter(|size| *size > 10_000_000) else { return };
        let tenths = at.saturating_mul(10) / size;
        if tenths > self.tenths {
            self.tenths = tenths;
            (self.progress)(&format!("fetching {}: {} %", self.file, tenths * 10));
        }
    }
}
