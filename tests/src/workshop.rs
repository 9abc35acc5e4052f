//! A temporary folder with a tiny random model, in which processes run.

use crate::process::{self, Ended, Running};
use ddpo_checkpoint::{PipelineToSave, TensorFile, save_pipeline, write_tensors};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::{SampleSize, UNetConfig};
use ddpo_run::pretraining::{Pretraining, PretrainingConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// `scheduler_config.json` of google/ddpm-church-256.
const SCHEDULER: &str = r#"{
  "_class_name": "DDPMScheduler",
  "_diffusers_version": "0.1.1",
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "beta_start": 0.0001,
  "clip_sample": true,
  "num_train_timesteps": 1000,
  "trained_betas": null,
  "variance_type": "fixed_small"
}
"#;

/// Height and width of the model's images.
pub const SIDE: usize = 8;

/// The path of the weights in a checkpoint.
pub const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

/// The folder, which is removed on drop.
#[derive(Debug)]
pub struct Workshop {
    folder: TempDir,
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new()
    }
}

impl Workshop {
    /// Makes a folder with the checkpoint `model`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_model(&folder.path().join("model"), &tiny());
        Self { folder }
    }

    /// Makes a folder with a class-conditional checkpoint `model`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn with_classes(classes: i64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = UNetConfig { num_class_embeds: Some(classes), ..tiny() };
        write_model(&folder.path().join("model"), &config);
        Self { folder }
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ddpo ARGUMENTS` until it exits.
    pub fn ddpo(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Starts `ddpo ARGUMENTS`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(process::command(self.folder.path(), arguments))
    }

    /// Writes a file and returns its name.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write<'a>(&self, name: &'a str, content: impl AsRef<[u8]>) -> &'a str {
        fs::write(self.path(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
        name
    }

    /// Copies the model under another name and damages the copy with `change`.
    pub fn spoilt<'a>(&self, name: &'a str, change: impl FnOnce(&Path)) -> &'a str {
        crate::tree::copy(&self.path("model"), &self.path(name));
        change(&self.path(name));
        name
    }
}

/// Returns the tensors of a safetensors file.
///
/// # Panics
/// If it cannot be read.
pub fn read_tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let file = TensorFile::open(path).unwrap_or_else(|error| panic!("{error}"));
    let named = |name: &String| (name.clone(), file.read(name).expect("a whole file"));
    file.tensors().iter().map(|info| named(&info.name)).collect()
}

/// Rewrites a safetensors file with the tensors that `change` modifies.
///
/// # Panics
/// If it cannot be read or written.
pub fn change_tensors(path: &Path, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
    let mut tensors = read_tensors(path);
    change(&mut tensors);
    let tensors: Vec<_> = tensors.into_iter().collect();
    write_tensors(path, &tensors, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
}

/// Sets a field of a JSON file.
///
/// # Panics
/// If it cannot be read or written.
pub fn change_json(path: &Path, field: &str, value: Value) {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut fields: Value = serde_json::from_str(&text).expect("JSON");
    fields[field] = value;
    fs::write(path, fields.to_string()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn write_model(root: &Path, config: &UNetConfig) {
    let schedule = SchedulerConfig::from_json(SCHEDULER).expect("a valid config");
    let unet = UNet::new(config, Kind::Float, Device::Cpu);
    let settings =
        PretrainingConfig { seed: 7, batch_size: 1, steps: 1, learning_rate: 0.0, ema_decay: 0.0 };
    // Before the first optimizer step, the average equals the random initial weights.
    let start = Pretraining::new(settings, unet, &schedule);
    let pipeline = PipelineToSave {
        unet_config: &config.to_json().expect("a valid config"),
        scheduler_config: SCHEDULER,
        tensors: start.averaged(),
        metadata: &BTreeMap::new(),
    };
    save_pipeline(root, &pipeline).unwrap_or_else(|error| panic!("{error}"));
}

fn tiny() -> UNetConfig {
    let names = |names: [&str; 2]| names.map(String::from).to_vec();
    UNetConfig {
        sample_size: Some(SampleSize::Square(SIDE)),
        block_out_channels: vec![8, 16],
        down_block_types: names(["DownBlock2D", "AttnDownBlock2D"]),
        up_block_types: names(["AttnUpBlock2D", "UpBlock2D"]),
        layers_per_block: 1,
        norm_num_groups: 4,
        ..UNetConfig::default()
    }
}
