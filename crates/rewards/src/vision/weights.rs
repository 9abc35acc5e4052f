//! Loads the weights of a folder into a network, strictly.

use crate::vision::error::VisionError;
use ddpo_checkpoint::{ModelFolder, TensorFile, load_part_into};
use ddpo_diffusion::fields::FieldError;
use ddpo_diffusion::parameters::Parameters;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Returns a conversion of errors in one of the folder's configs.
pub(crate) fn in_config(
    folder: &ModelFolder,
    file: &'static str,
    source: FieldError,
) -> VisionError {
    let root: PathBuf = folder.root.clone();
    VisionError::Config { root, file, source }
}

/// Checks that the file has at least `least` values, lets `make` declare a network and its targets,
/// and loads it. `rename` maps the file's tensors to targets; `None` ignores a tensor.
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

/// Returns names and tensors of a network's parameters; the tensors share its storage.
pub(crate) fn targets(parameters: &Parameters) -> Vec<(String, Tensor)> {
    let entries = parameters.entries().iter();
    entries.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
