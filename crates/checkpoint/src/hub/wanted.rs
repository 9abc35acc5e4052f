//! What is fetched of a repository: the files of a pipeline, those of an image model, or one file.

use std::path::{Path, PathBuf};

use crate::front_matter::MODEL_CARD;
use crate::hub::{Commit, Hub, HubError};
use crate::layout::{CONFIG, LayoutError, MODEL_INDEX, open_pipeline};
use crate::model_folder::{MODEL_WEIGHTS, PREPROCESSOR, open_model};

/// Where our checkpoints keep averaged weights.
const AVERAGED_WEIGHTS: &str = "unet_ema/diffusion_pytorch_model.safetensors";

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// A diffusers pipeline in either layout.
    Pipeline,
    /// An image model of transformers.
    Model,
    /// One file, by its path.
    File(&'a str),
}

impl Wanted<'_> {
    /// What a repository without the files is not.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Pipeline => "diffusers pipeline",
            Self::Model => "transformers image model",
            Self::File(_) => "place of that file",
        }
    }

    /// Whether a snapshot has all of it.
    pub(crate) fn is_complete(self, snapshot: &Path) -> bool {
        match self {
            Self::File(name) => snapshot.join(name).is_file(),
            _ => self.check(snapshot).is_ok(),
        }
    }

    pub(crate) fn check(self, snapshot: &Path) -> Result<(), LayoutError> {
        match self {
            Self::Pipeline => open_pipeline(snapshot).map(|_| ()),
            Self::Model => open_model(snapshot).map(|_| ()),
            Self::File(_) => Ok(()),
        }
    }
}

impl Hub {
    /// Fetches the files of an image model as [`Hub::fetch_pipeline`] does those of a pipeline, and
    /// returns the folder that [`open_model`] opens.
    ///
    /// # Errors
    /// As [`Hub::fetch_pipeline`].
    pub fn fetch_model(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        self.fetch(Wanted::Model, repo, revision, progress)
    }

    /// Fetches one file, and returns its path in the cache.
    ///
    /// # Errors
    /// As [`Hub::fetch_pipeline`].
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

    /// Fetches what is wanted into the commit's snapshot. The first answer tells the commit;
    /// everything else is asked of that commit, so that a push in between cannot mix two versions.
    pub(crate) fn fetch_wanted(
        &self,
        wanted: Wanted<'_>,
        commit: &mut Commit<'_>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HubError> {
        match wanted {
            Wanted::Pipeline => self.fetch_parts_of_pipeline(commit, progress),
            Wanted::Model => {
                self.fetch_first(commit, &[CONFIG], progress)?;
                self.fetch_first(commit, &[PREPROCESSOR], progress)?;
                self.fetch_first(commit, &MODEL_WEIGHTS, progress).map(|_| ())
            }
            Wanted::File(name) => self.fetch_first(commit, &[name], progress).map(|_| ()),
        }
    }

    fn fetch_parts_of_pipeline(
        &self,
        commit: &mut Commit<'_>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HubError> {
        let config = self.fetch_first(commit, &["unet/config.json", CONFIG], progress)?;
        let prefix = config.strip_suffix(CONFIG).unwrap_or_default();
        // The card says under which licence a model may be passed on; checkpoints of ours may have
        // averaged weights besides.
        for file in [MODEL_INDEX, MODEL_CARD, AVERAGED_WEIGHTS] {
            if let Some(remote) = self.ask(commit, file)? {
                self.fetch_file(commit, file, &remote, progress)?;
            }
        }
        let schedulers = ["scheduler/scheduler_config.json", "scheduler_config.json"];
        let weights = ["safetensors", "bin"]
            .map(|ending| format!("{prefix}diffusion_pytorch_model.{ending}"));
        self.fetch_first(commit, &schedulers, progress)?;
        self.fetch_first(commit, &[weights[0].as_str(), weights[1].as_str()], progress)?;
        Ok(())
    }

    /// Fetches the first of some files that the repository has, and gives its name.
    fn fetch_first<'n>(
        &self,
        commit: &mut Commit<'_>,
        names: &[&'n str],
        progress: &mut dyn FnMut(&str),
    ) -> Result<&'n str, HubError> {
        let (name, remote) = self.first_of(commit, names)?;
        commit.revision.clone_from(&remote.commit);
        self.fetch_file(commit, name, &remote, progress)?;
        Ok(name)
    }
}
