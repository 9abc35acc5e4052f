//! The layouts of a diffusers pipeline of `UNet2DModel`.
//!
//! Newer pipelines have a folder for each part (`unet/config.json`,
//! `scheduler/scheduler_config.json`); the google/ddpm-* repositories have all files at the root. A folder
//! of accelerate (`checkpoint-500/`) has no scheduler, and without diffusers' hooks no config: they are
//! those of the pipeline around it. A file stands for the pipeline around it with these weights.
//!
//! Source: diffusers 0.42, `pipelines/pipeline_utils.py` and
//! `examples/unconditional_image_generation/train_unconditional.py`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::python_json::finite;
use crate::weights::{FULL, Found, Weights, find_weights};

const PIPELINE: &str = "diffusers pipeline";
pub(crate) const MODEL_INDEX: &str = "model_index.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const SCHEDULER_CONFIG: &str = "scheduler_config.json";
const UNET_CONFIGS: [&str; 2] = ["unet/config.json", CONFIG];
const SCHEDULER_CONFIGS: [&str; 2] = ["scheduler/scheduler_config.json", SCHEDULER_CONFIG];

/// The folder of averaged weights.
const AVERAGED: &str = "unet_ema";

/// The parts of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineFolder {
    /// JSON of the UNet's config.
    pub unet_config: String,
    /// JSON of the scheduler's config.
    pub scheduler_config: String,
    /// Path of the UNet's weights, or of their index.
    pub weights: PathBuf,
    /// Folder of the pipeline.
    pub root: PathBuf,
    /// Lines for the user about parts that were not found in their usual form.
    pub notes: Vec<String>,
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
        hint: String,
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
        "`{}`: expected {expected}, found `{found}`; hint: only DDPM pipelines of UNet2DModel \
         are supported",
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

/// Finds the configs and the weights of a pipeline. `path` is its folder in any layout, or a file of
/// weights beside a `config.json`.
///
/// # Errors
/// If a part is missing or unreadable, or the class of the pipeline or of its UNet is not supported.
pub fn open_pipeline(path: &Path) -> Result<PipelineFolder, LayoutError> {
    if path.is_file() {
        return open_around(path);
    }
    check_folder(path, PIPELINE)?;
    open_folder(path, None)
}

/// Returns the averaged weights of a pipeline's folder (`unet_ema/`), which ddpo and
/// `train_unconditional.py` write, in any form of [`open_pipeline`].
#[must_use]
pub fn averaged_weights(root: &Path) -> Option<PathBuf> {
    match find_weights(&root.join(AVERAGED)) {
        Weights::Of(found) => Some(found.path),
        Weights::Several(_) | Weights::None => None,
    }
}

/// Opens the pipeline that a file of weights belongs to: the folder of the file, or the one above it if
/// the scheduler lies there.
fn open_around(file: &Path) -> Result<PipelineFolder, LayoutError> {
    let folder = ddpo_files::parent(file);
    if !folder.join(CONFIG).is_file() {
        let hint = "; hint: give the folder of a pipeline; `ddpo convert` makes one of a .pth file";
        let expected = format!("`{CONFIG}` beside `{}`", shown(file));
        return Err(missing(folder, &expected, hint));
    }
    let above = fs::canonicalize(folder).ok().and_then(|path| path.parent().map(Path::to_owned));
    let has_scheduler = |path: &Path| first_file(path, &SCHEDULER_CONFIGS).is_some();
    let is_root = |path: &Path| has_scheduler(path) || pipeline_around(path).is_some();
    let root = match above {
        Some(above) if !has_scheduler(folder) && is_root(&above) => above,
        _ => folder.to_owned(),
    };
    open_folder(&root, Some((&folder.join(CONFIG), file)))
}

/// Opens the pipeline in `root`; `own` replaces its config and weights.
fn open_folder(root: &Path, own: Option<(&Path, &Path)>) -> Result<PipelineFolder, LayoutError> {
    let mut notes = Vec::new();
    let outer = pipeline_around(root);
    // Check the class before the parts, so that the error for a text-to-image pipeline names its class
    // instead of missing files.
    let found =
        own.map(|(config, _)| config.to_owned()).or_else(|| first_file(root, &UNET_CONFIGS));
    let borrowed = found.is_none().then(|| config_of_weights(root, outer.as_deref())).flatten();
    let unet_path = found.or_else(|| borrowed.clone());
    let unet = unet_path.as_deref().map(read_config).transpose()?;
    check_pipeline_class(root, unet.as_ref().and_then(|(_, config)| class_of(config)))?;
    let (Some(unet_path), Some((unet_config, unet))) = (unet_path, unet) else {
        return Err(missing(root, "`unet/config.json` or `config.json`", ""));
    };
    if let Some(class) = class_of(&unet).filter(|class| *class != "UNet2DModel") {
        return Err(wrong_class(unet_path, "a `UNet2DModel`", class));
    }
    let scheduler = scheduler_path(root, outer.as_deref(), &mut notes)?;
    let (scheduler_config, _) = read_config(&scheduler)?;
    let weights = match (own, &borrowed) {
        (Some((_, weights)), _) => weights.to_owned(),
        (None, Some(config)) => {
            notes.push(format!("{}: config of {}", root.display(), config.display()));
            weights_in(root, root, &mut notes)?
        }
        (None, None) => weights_in(root, ddpo_files::parent(&unet_path), &mut notes)?,
    };
    Ok(PipelineFolder { unet_config, scheduler_config, weights, root: root.into(), notes })
}

/// Returns the pipeline that contains the folder `root` of accelerate, such as
/// `ddpm-model-64/checkpoint-500`.
fn pipeline_around(root: &Path) -> Option<PathBuf> {
    if root.join(MODEL_INDEX).is_file() {
        return None;
    }
    let above = fs::canonicalize(root).ok()?.parent()?.to_owned();
    above.join(MODEL_INDEX).is_file().then_some(above)
}

/// Returns the config in the pipeline around a folder that has weights and no config.
fn config_of_weights(root: &Path, outer: Option<&Path>) -> Option<PathBuf> {
    let has_weights = matches!(find_weights(root), Weights::Of(_));
    first_file(outer.filter(|_| has_weights)?, &UNET_CONFIGS)
}

fn scheduler_path(
    root: &Path,
    outer: Option<&Path>,
    notes: &mut Vec<String>,
) -> Result<PathBuf, LayoutError> {
    if let Some(path) = first_file(root, &SCHEDULER_CONFIGS) {
        return Ok(path);
    }
    let path = outer.and_then(|outer| first_file(outer, &SCHEDULER_CONFIGS)).ok_or_else(|| {
        missing(root, "`scheduler/scheduler_config.json` or `scheduler_config.json`", "")
    })?;
    notes.push(format!("{}: scheduler of {}", root.display(), path.display()));
    Ok(path)
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
    let text = finite(text);
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

fn weights_in(root: &Path, folder: &Path, notes: &mut Vec<String>) -> Result<PathBuf, LayoutError> {
    let expected = format!("`{}` or `{}` beside the config", FULL[0], FULL[2]);
    let hint = match find_weights(folder) {
        Weights::Of(Found { path, variant }) => {
            if let Some(variant) = variant {
                let name = shown(&path);
                notes.push(format!("weights: {name}, variant {variant}, the only one there"));
            }
            return Ok(path);
        }
        Weights::Several(names) => {
            let names = names.join(", ");
            format!("; hint: there are {names}: give the path of one of these files")
        }
        Weights::None => String::new(),
    };
    Err(missing(root, &expected, &hint))
}

fn shown(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn missing(root: &Path, expected: &str, hint: &str) -> LayoutError {
    let (root, expected, hint) = (root.into(), expected.to_owned(), hint.to_owned());
    LayoutError::Missing { what: PIPELINE, root, expected, hint }
}

fn wrong_class(path: PathBuf, expected: &'static str, found: &str) -> LayoutError {
    LayoutError::WrongClass { path, expected, found: found.to_owned() }
}
