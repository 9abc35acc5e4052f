//! Filling a network from the weights of its folder, strictly.

use crate::vision::error::VisionError;
use ddpo_checkpoint::{ModelFolder, TensorFile, load_part_into};
use ddpo_diffusion::fields::FieldError;
use ddpo_diffusion::parameters::Parameters;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Makes the error of one of the folder's configs.
pub(crate) fn in_config(
    folder: &ModelFolder,
    file: &'static str,
    source: FieldError,
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
