//! The layout of a transformers image model: `config.json`, the image processor, and the weights as
//! `model.safetensors` or, if that file is missing, `pytorch_model.bin`, each also as several files with an
//! index.
//!
//! The image processor is the field `image_processor` of `processor_config.json`, which transformers 5
//! writes for CLIP, or else `preprocessor_config.json`.
//!
//! Source: transformers 5.8, `utils/__init__.py`, `modeling_utils.py` and `image_processing_base.py`.

use serde_json::Value;
use std::path::{Path, PathBuf};

use crate::layout::{CONFIG, LayoutError, check_folder, first_file, read_config};

const MODEL: &str = "transformers image model";
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";
pub(crate) const PROCESSOR: &str = "processor_config.json";
const NESTED: &str = "image_processor";
pub(crate) const MODEL_WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The parts of an image model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFolder {
    /// JSON of the network's config.
    pub config: String,
    /// JSON of the image processor's config: of `preprocessor_config.json`, or of
    /// `processor_config.json`, which has it in the field `image_processor`.
    pub preprocessor: String,
    /// Name of the file of `preprocessor`, for messages.
    pub preprocessor_file: &'static str,
    /// Path of the weights, or of their index.
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
    let (preprocessor, preprocessor_file) = image_processor(root)?;
    let weights = part(root, &MODEL_WEIGHTS)?;
    Ok(ModelFolder { config, preprocessor, preprocessor_file, weights, root: root.into() })
}

fn image_processor(root: &Path) -> Result<(String, &'static str), LayoutError> {
    if let Some(text) = nested_processor(root)? {
        return Ok((text, PROCESSOR));
    }
    let Some(path) = first_file(root, &[PREPROCESSOR]) else {
        // `processor_config.json` may exist without an image processor.
        return Err(missing(root, &[PREPROCESSOR, PROCESSOR]));
    };
    Ok((read_config(&path)?.0, PREPROCESSOR))
}

/// Returns the text of `processor_config.json` if it has an image processor.
pub(crate) fn nested_processor(root: &Path) -> Result<Option<String>, LayoutError> {
    let Some(path) = first_file(root, &[PROCESSOR]) else { return Ok(None) };
    let (text, fields) = read_config(&path)?;
    Ok(fields.get(NESTED).is_some_and(Value::is_object).then_some(text))
}

fn part(root: &Path, names: &[&str]) -> Result<PathBuf, LayoutError> {
    first_file(root, names).ok_or_else(|| missing(root, names))
}

fn missing(root: &Path, names: &[&str]) -> LayoutError {
    let expected = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let expected = expected.join(" or ");
    LayoutError::Missing { what: MODEL, root: root.into(), expected, hint: String::new() }
}
