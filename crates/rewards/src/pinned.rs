//! Opens models and files whose content a specification pins.

use crate::embedded;
use ddpo_checkpoint::{
    LayoutError, ModelFolder, ResolveError, TensorFileError, UnpackError, files_of, locate_file,
    open_model, resolve_model,
};
use ddpo_rollout::reward::{Pin, Pinned};
use ddpo_rollout::trajectory::Digest;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use thiserror::Error;

/// Errors from opening a pinned model or file.
#[derive(Debug, Error)]
pub enum PinError {
    /// The embedded model could not be written to a temporary folder.
    #[error("reward model: {0}")]
    Unpack(#[from] UnpackError),
    /// The model or the file was not found.
    #[error("reward model: {0}")]
    Resolve(#[from] ResolveError),
    /// The folder does not contain an image model.
    #[error("reward model: {0}")]
    Layout(#[from] LayoutError),
    /// The index of the weights is malformed.
    #[error("reward model: {0}")]
    Weights(#[from] TensorFileError),
    /// A file cannot be read.
    #[error("could not read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The content differs from the learner's.
    #[error(
        "`{name}`: expected {expected}, found {found}; \
         hint: copy the run's files to the same path"
    )]
    Differs {
        /// The model or file.
        name: String,
        /// The pin of the specification.
        expected: Pin,
        /// The pin of the content that was found.
        found: Pin,
    },
}

/// An image model. Its files stay readable while the value lives.
#[derive(Debug)]
pub struct OpenModel {
    /// The configs and the path of the weights.
    pub folder: ModelFolder,
    /// Keeps the files of the embedded model on disk.
    _embedded: Option<TempDir>,
}

impl OpenModel {
    /// Opens a model by its name: a folder, the embedded model, or a name on the Hub at `revision`.
    /// Reports each downloaded file to `progress`.
    ///
    /// # Errors
    /// [`PinError::Resolve`], [`PinError::Layout`] and [`PinError::Unpack`].
    pub fn named(
        name: &str,
        revision: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, PinError> {
        let embedded = is_embedded(name).then(embedded::unpacked).transpose()?;
        let root = match &embedded {
            Some(folder) => folder.path().to_owned(),
            None => resolve_model(name, revision, progress)?,
        };
        Ok(Self { folder: open_model(&root)?, _embedded: embedded })
    }

    /// Opens a pinned model.
    ///
    /// # Errors
    /// As [`OpenModel::named`], and [`PinError::Differs`] if the content differs.
    pub fn pinned(pinned: &Pinned, progress: &mut dyn FnMut(&str)) -> Result<Self, PinError> {
        match &pinned.pin {
            Pin::Revision(revision) => Self::named(&pinned.name, Some(revision), progress),
            Pin::Digest(_) => {
                let model = Self::named(&pinned.name, None, progress)?;
                same(pinned, model.digest()?)?;
                Ok(model)
            }
        }
    }

    /// Returns the BLAKE3 digest of configs and weights.
    ///
    /// # Errors
    /// [`PinError::Read`] and [`PinError::Weights`] if the weights cannot be read.
    pub fn digest(&self) -> Result<Digest, PinError> {
        let ModelFolder { config, preprocessor, weights, .. } = &self.folder;
        let parts = [Digest::of(config.as_bytes()), Digest::of(preprocessor.as_bytes())];
        let mut digests = parts.map(|part| part.0).to_vec();
        for file in files_of(weights)? {
            digests.push(digest_of_file(&file)?.0);
        }
        Ok(Digest::of(digests.as_flattened()))
    }
}

/// Returns whether a name means the embedded classifier. A folder of that name takes precedence.
pub(crate) fn is_embedded(name: &str) -> bool {
    name == embedded::NAME && !Path::new(name).exists()
}

/// Returns the path of a pinned file. Reports a download to `progress`.
///
/// # Errors
/// [`PinError`] if the file cannot be found or read, or its content differs.
pub fn file(pinned: &Pinned, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, PinError> {
    match &pinned.pin {
        Pin::Revision(revision) => Ok(locate_file(&pinned.name, Some(revision), progress)?.path),
        Pin::Digest(_) => {
            let path = locate_file(&pinned.name, None, progress)?.path;
            same(pinned, digest_of_file(&path)?)?;
            Ok(path)
        }
    }
}

/// Checks the content of a pinned local file.
///
/// # Errors
/// [`PinError::Read`] and [`PinError::Differs`].
pub fn check_file(pinned: &Pinned) -> Result<(), PinError> {
    same(pinned, digest_of_file(Path::new(&pinned.name))?)
}

/// Returns the BLAKE3 digest of a file.
///
/// # Errors
/// [`PinError::Read`].
pub fn digest_of_file(path: &Path) -> Result<Digest, PinError> {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.map_err(|source| PinError::Read { path: path.into(), source })?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

fn same(pinned: &Pinned, found: Digest) -> Result<(), PinError> {
    let found = Pin::Digest(found);
    if found == pinned.pin {
        return Ok(());
    }
    let (name, expected) = (pinned.name.clone(), pinned.pin.clone());
    Err(PinError::Differs { name, expected, found })
}
