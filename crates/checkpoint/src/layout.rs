//! The two layouts of an unconditional diffusers pipeline.
//!
//! Newer pipelines have a folder for each part (`unet/config.json`,
//! `scheduler/scheduler_config.json`); the google/ddpm-* repositories have all files at the root.
//! Weights are `diffusion_pytorch_model.safetensors`, or `.bin` if that file is missing.
//!
//! Source: diffusers 0.35, `pipelines/pipeline_utils.py` and `utils/constants.py`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

const PIPELINE: &str = "diffusers pipeline";
pub(crate) const MODEL_INDEX: &str = "model_index.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const SCHEDULER_CONFIG: &str = "scheduler_config.json";
pub(crate) const WEIGHTS_SAFETENSORS: &str = "diffusion_pytorch_model.safetensors";
pub(crate) const WEIGHTS_BIN: &str = "diffusion_pytorch_model.bin";

/// The parts of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineFolder {
    /// JSON of the UNet's config.
    pub unet_config: String,
    /// JSON of the scheduler's config.
    pub scheduler_config: String,
    /// Path of the UNet's weights.
    pub weights: PathBuf,
    /// Folder of the pipeline.
    pub root: PathBuf,
}

/// Errors from opening a pipeline or a model.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The path is missing or not a folder.
    #[error("`{}`: expected the folder of a {what}, found {found}", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// Expected content of the folder.
        what: &'static str,
        /// What was found instead.
        found: &'static str,
    },
    /// A required file of a pipeline or model is missing.
    #[error("`{}` is not a {what}: expected {expected}, found none{hint}", root.display())]
    Missing {
        /// Expected content of the folder.
        what: &'static str,
        /// The folder.
        root: PathBuf,
        /// The names that were tried.
        expected: String,
        /// A hint, or an empty string.
        hint: &'static str,
    },
    /// A file could not be read.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A config is not a JSON object.
    #[error("`{}`: expected a JSON object: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The pipeline or its UNet has an unsupported class.
    #[error(
        "`{}`: expected {expected}, found `{found}`; hint: only unconditional DDPM pipelines are \
         supported",
        path.display()
    )]
    WrongClass {
        /// The file that names the class.
        path: PathBuf,
        /// Supported classes.
        expected: &'static str,
        /// Class that the file names.
        found: String,
    },
}

/// Finds the configs and the weights of a pipeline in either layout.
///
/// # Errors
/// If a part is missing or unreadable, or the class of the pipeline or of its UNet is not supported.
pub fn open_pipeline(root: &Path) -> Result<PipelineFolder, LayoutError> {
    check_folder(root, PIPELINE)?;
    // Check the class before the parts, so that the error for a text-to-image pipeline names its class
    // instead of missing files.
    let unet_path = first_file(root, &["unet/config.json", CONFIG]);
    let unet = unet_path.as_deref().map(read_config).transpose()?;
    check_pipeline_class(root, unet.as_ref().and_then(|(_, config)| class_of(config)))?;
    let (Some(unet_path), Some((unet_config, unet))) = (unet_path, unet) else {
        return Err(missing(root, "`unet/config.json` or `config.json`", ""));
    };
    if let Some(class) = class_of(&unet).filter(|class| *class != "UNet2DModel") {
        return Err(wrong_class(unet_path, "a `UNet2DModel`", class));
    }
    let scheduler = first_file(root, &["scheduler/scheduler_config.json", SCHEDULER_CONFIG]);
    let scheduler = scheduler.ok_or_else(|| {
        missing(root, "`scheduler/scheduler_config.json` or `scheduler_config.json`", "")
    })?;
    let (scheduler_config, _) = read_config(&scheduler)?;
    let weights = find_weights(root, ddpo_files::parent(&unet_path))?;
    Ok(PipelineFolder { unet_config, scheduler_config, weights, root: root.into() })
}

pub(crate) fn check_folder(root: &Path, what: &'static str) -> Result<(), LayoutError> {
    if root.is_dir() {
        return Ok(());
    }
    let found = if root.exists() { "a file" } else { "nothing" };
    Err(LayoutError::NoFolder { path: root.into(), what, found })
}

pub(crate) fn first_file(root: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| root.join(name)).find(|path| path.is_file())
}

pub(crate) fn read_config(path: &Path) -> Result<(String, Map<String, Value>), LayoutError> {
    let text =
        fs::read_to_string(path).map_err(|source| LayoutError::Io { path: path.into(), source })?;
    let config = serde_json::from_str(&text)
        .map_err(|source| LayoutError::Json { path: path.into(), source })?;
    Ok((text, config))
}

fn class_of(config: &Map<String, Value>) -> Option<&str> {
    config.get("_class_name").and_then(Value::as_str)
}

/// Rejects an index that names another pipeline class, unless the UNet is a `UNet2DModel`.
fn check_pipeline_class(root: &Path, unet_class: Option<&str>) -> Result<(), LayoutError> {
    let path = root.join(MODEL_INDEX);
    if !path.is_file() {
        return Ok(());
    }
    let (_, index) = read_config(&path)?;
    match class_of(&index) {
        None | Some("DDPMPipeline" | "DDIMPipeline") => Ok(()),
        Some(_) if unet_class == Some("UNet2DModel") => Ok(()),
        Some(class) => Err(wrong_class(path, "a `DDPMPipeline` or `DDIMPipeline`", class)),
    }
}

fn find_weights(root: &Path, folder: &Path) -> Result<PathBuf, LayoutError> {
    if let Some(path) = first_file(folder, &[WEIGHTS_SAFETENSORS, WEIGHTS_BIN]) {
        return Ok(path);
    }
    let index = format!("{WEIGHTS_SAFETENSORS}.index.json");
    let hint = if folder.join(index).is_file() {
        "; hint: weights split over several files are not supported, save them as one file"
    } else if folder.join("diffusion_pytorch_model.fp16.safetensors").is_file() {
        "; hint: rename the fp16 file to the expected name"
    } else {
        ""
    };
    Err(missing(
        root,
        &format!("`{WEIGHTS_SAFETENSORS}` or `{WEIGHTS_BIN}` beside the config"),
        hint,
    ))
}

fn missing(root: &Path, expected: &str, hint: &'static str) -> LayoutError {
    LayoutError::Missing { what: PIPELINE, root: root.into(), expected: expected.to_owned(), hint }
}

fn wrong_class(path: PathBuf, expected: &'static str, found: &str) -> LayoutError {
    LayoutError::WrongClass { path, expected, found: found.to_owned() }
}
