//! The layout of a transformers image model: `config.json`, `preprocessor_config.json`, and the weights
//! as `model.safetensors` or, if that file is missing, `pytorch_model.bin`.
//!
//! Source: transformers 5.8, `utils/__init__.py` and `modeling_utils.py`.

use std::path::{Path, PathBuf};

use crate::layout::{CONFIG, LayoutError, check_folder, first_file, read_config};

const MODEL: &str = "transformers image model";
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";
pub(crate) const MODEL_WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The parts of an image model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFolder {
    /// JSON of the network's config.
    pub config: String,
    /// JSON of the image processor's config.
    pub preprocessor: String,
    /// Path of the weights.
    pub weights: PathBuf,
    /// Folder of the model.
    pub root: PathBuf,
}

/// Finds the configs and the weights of an image model.
///
/// # Errors
/// If a part is missing or unreadable, or a config is not a JSON object.
pub fn open_model(root: &Path) -> Result<ModelFolder, LayoutError> {
    check_folder(root, MODEL)?;
    let (config, _) = read_config(&part(root, &[CONFIG])?)?;
    let (preprocessor, _) = read_config(&part(root, &[PREPROCESSOR])?)?;
    let weights = part(root, &MODEL_WEIGHTS)?;
    Ok(ModelFolder { config, preprocessor, weights, root: root.into() })
}

fn part(root: &Path, names: &[&str]) -> Result<PathBuf, LayoutError> {
    first_file(root, names).ok_or_else(|| {
        let split = names.iter().any(|name| root.join(format!("{name}.index.json")).is_file());
        let hint = if split {
            "; hint: weights split over several files are not supported, save them as one file"
        } else {
            ""
        };
        let expected = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let expected = expected.join(" or ");
        LayoutError::Missing { what: MODEL, root: root.into(), expected, hint: hint.to_owned() }
    })
}
