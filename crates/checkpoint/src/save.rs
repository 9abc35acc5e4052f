//! Saves a pipeline in the layout that `DDPMPipeline.from_pretrained` loads.
//!
//! Source: diffusers 0.35, `pipelines/pipeline_utils.py` (`save_pretrained`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ddpo_files::{WriteFileError, write_file};
use serde_json::{Value, json};
use tch::Tensor;

use crate::layout::{CONFIG, MODEL_INDEX, SCHEDULER_CONFIG};
use crate::weights::WEIGHTS_SAFETENSORS;
use crate::write_error::WriteError;
use crate::writer::write_tensors;

/// The diffusers version of the written layout.
const DIFFUSERS_VERSION: &str = "0.35.0";

/// The input of [`save_pipeline`].
#[derive(Debug, Clone, Copy)]
pub struct PipelineToSave<'a> {
    /// JSON of the `UNet2DModel`.
    pub unet_config: &'a str,
    /// JSON of the scheduler; its `_class_name` goes into the index, `DDPMScheduler` by default.
    pub scheduler_config: &'a str,
    /// Weights of the UNet, under diffusers' names.
    pub tensors: &'a [(String, Tensor)],
    /// Metadata of the safetensors file. A missing `format` is set to `pt`, because readers of PyTorch
    /// checkpoints require it.
    pub metadata: &'a BTreeMap<String, String>,
}

/// Writes `model_index.json`, `unet/` and `scheduler/` into `root`.
///
/// To replace a pipeline atomically, call it inside [`ddpo_files::publish_folder`].
///
/// # Errors
/// If a config is not a JSON object or a file cannot be written.
pub fn save_pipeline(root: &Path, pipeline: &PipelineToSave<'_>) -> Result<(), WriteError> {
    let (unet, scheduler) = (root.join("unet"), root.join("scheduler"));
    for folder in [root, &unet, &scheduler] {
        fs::create_dir_all(folder).map_err(WriteFileError::at(folder))?;
    }
    let unet_class = write_config(&unet.join(CONFIG), pipeline.unet_config)?;
    let scheduler_class =
        write_config(&scheduler.join(SCHEDULER_CONFIG), pipeline.scheduler_config)?;
    let index = json!({
        "_class_name": "DDPMPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        "scheduler": ["diffusers", scheduler_class.unwrap_or("DDPMScheduler".to_owned())],
        "unet": ["diffusers", unet_class.unwrap_or("UNet2DModel".to_owned())],
    });
    write_file(&root.join(MODEL_INDEX), format!("{index:#}\n").as_bytes())?;
    let mut metadata = pipeline.metadata.clone();
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    write_tensors(&unet.join(WEIGHTS_SAFETENSORS), pipeline.tensors, &metadata)
}

/// Checks that a config is a JSON object, writes it unchanged, and returns the class that it names.
fn write_config(path: &Path, text: &str) -> Result<Option<String>, WriteError> {
    let config: serde_json::Map<String, Value> = serde_json::from_str(text)
        .map_err(|source| WriteError::Json { path: path.into(), source })?;
    write_file(path, text.as_bytes())?;
    Ok(config.get("_class_name").and_then(Value::as_str).map(str::to_owned))
}
