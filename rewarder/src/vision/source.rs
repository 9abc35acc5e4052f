//! Opening a model's folder and filling a network from it, strictly.

use std::path::{Path, PathBuf};

use ddpo_checkpoint::{ModelFolder, TensorFile, load_part_into, open_model, resolve_model};
use ddpo_diffusion::parameters::Parameters;
use tch::Tensor;
use tempfile::TempDir;

use crate::embedded;
use crate::vision::error::{ConfigError, VisionError};

/// An image model whose files can be read as long as this lives.
#[derive(Debug)]
pub struct Source {
    /// Its configs and where its weights are.
    pub folder: ModelFolder,
    /// Holds the files of the embedded model.
    _embedded: Option<TempDir>,
}

/// Finds an image model: a path, the embedded one, or a name on the Hub, which is fetched with a
/// line to `progress` for each file.
///
/// # Errors
/// [`VisionError::Resolve`], [`VisionError::Layout`] and [`VisionError::Unpack`].
pub fn open(name: &str, progress: &mut dyn FnMut(&str)) -> Result<Source, VisionError> {
    let embedded = (name == embedded::NAME && !Path::new(name).exists())
        .then(embedded::unpacked)
        .transpose()?;
    let root = match &embedded {
        Some(folder) => folder.path().to_owned(),
        None => resolve_model(name, progress)?,
    };
    Ok(Source { folder: open_model(&root)?, _embedded: embedded })
}

/// An error of one of the folder's configs.
pub(crate) fn in_config(
    folder: &ModelFolder,
    file: &'static str,
    source: ConfigError,
) -> VisionError {
    let root: PathBuf = folder.root.clone();
    VisionError::Config { root, file, source }
}

/// Lets `make` declare a network and its targets once the file is known to hold at least `least`
/// values, and fills it. `rename` gives the target of each of the file's tensors, or none for one
/// that the network does not use.
pub(crate) fn load<T>(
    path: &Path,
    least: i64,
    rename: &dyn Fn(&str) -> Option<String>,
    make: impl FnOnce() -> (T, Vec<(String, Tensor)>),
) -> Result<T, VisionError> {
    let file = TensorFile::open(path)?;
    let values = |shape: &[i64]| shape.iter().fold(1_i64, |all, side| all.saturating_mul(*side));
    let found =
        file.tensors().iter().fold(0_i64, |all, info| all.saturating_add(values(&info.shape)));
    if found < least {
        return Err(VisionError::TooFewValues { path: path.into(), expected: least, found });
    }
    let (network, targets) = make();
    load_part_into(&file, &targets, rename)?;
    Ok(network)
}

/// Names and tensors of a network's parameters, which share its storage.
pub(crate) fn targets(parameters: &Parameters) -> Vec<(String, Tensor)> {
    let entries = parameters.entries().iter();
    entries.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
