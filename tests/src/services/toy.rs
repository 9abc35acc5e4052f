//! The run that tests of the services share (three small epochs of the embedded model), and its result with
//! `ddpo train` in one process.

use crate::process;
use crate::services::wait::{PATIENCE, until};
use crate::tree::{self, Tree};
use ddpo_checkpoint::{PipelineToSave, save_pipeline};
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_run::model::Model;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tch::{Device, Kind, Tensor};

/// Epochs of the run.
pub const EPOCHS: u32 = 3;

/// Trajectories in an epoch, in orders of four.
pub const SAMPLES: u32 = 16;

/// Samples of an evaluation. The run evaluates before the first epoch and after each epoch.
pub const EVALUATED: u32 = 8;

/// The number of trajectories of the run.
pub const ALL: u64 = (EPOCHS * SAMPLES + (EPOCHS + 1) * EVALUATED) as u64;

/// The run's settings.
pub const RUN: &str = r#"
task = "jpeg compressibility"
ddpm_ckpt = "toy-faces-32"
output_dir = "run"
num_epochs = 3
num_samples_per_epoch = 16
batch_size = 8
sample_batch_size = 4
num_inference_steps = 5
initial_lr = 1e-4
peak_lr = 1e-4
ema_decay = 0.9
run_seed = 7
eval_every_each_epoch = 1
num_eval_samples = 8
threads = 1
device = "cpu"
"#;

/// Writes the embedded model with the random embeddings of `classes` classes to `root`.
///
/// # Panics
/// If it cannot be written.
pub fn write_with_classes(root: &Path, classes: i64) {
    let model = Model::open("toy-faces-32", &mut |_| {}).expect("the embedded model");
    let source = model.load(Kind::Float, Device::Cpu).expect("the embedded weights");
    let config = UNetConfig { num_class_embeds: Some(classes), ..model.config().clone() };
    let unet = UNet::new(&config, Kind::Float, Device::Cpu);
    for (name, target) in unet.parameters().entries() {
        let known = source.parameters().entries().iter().find(|(known, _)| known == name);
        let values =
            known.map_or_else(|| noise(&target.size()), |(_, tensor)| tensor.shallow_clone());
        tch::no_grad(|| target.shallow_clone().copy_(&values));
    }
    let pipeline = PipelineToSave {
        unet_config: &config.to_json().expect("a valid config"),
        scheduler_config: model.scheduler_text(),
        tensors: unet.parameters().entries(),
        metadata: &BTreeMap::new(),
    };
    save_pipeline(root, &pipeline).unwrap_or_else(|error| panic!("{error}"));
}

/// Returns random values that change a prediction a little.
fn noise(size: &[i64]) -> Tensor {
    let mut values = vec![0.0; size.iter().product::<i64>() as usize];
    NoiseKey { seed: 3, purpose: Purpose::Weights, epoch: 0, sample: 0, step: 0 }
        .fill_normal(&mut values);
    Tensor::from_slice(&values).view(size) * 0.2
}

/// Returns the last checkpoint of a finished run in `folder`: weights, averages, moments, state.
pub fn checkpoint(folder: &Path) -> Tree {
    last(&tree::read(&folder.join("run")))
}

/// Returns the last checkpoint among the files of a finished run.
///
/// # Panics
/// If a part of it is missing.
pub fn last(run: &Tree) -> Tree {
    let tree = tree::below(run, &format!("checkpoints/epoch-{EPOCHS:06}/"));
    for name in ["optimizer.safetensors", "state.json", crate::workshop::WEIGHTS] {
        assert!(tree.contains_key(name), "{name} is not in the checkpoint");
    }
    tree
}

/// Returns the last checkpoint of the same run with `ddpo train`, which runs once for each test file.
///
/// # Panics
/// If the run fails.
pub fn expected() -> &'static Tree {
    static EXPECTED: OnceLock<Tree> = OnceLock::new();
    EXPECTED.get_or_init(|| last(&trained(RUN)))
}

/// Runs `ddpo train` with these settings and returns its last checkpoint.
///
/// # Panics
/// If the run fails.
pub fn trained(settings: &str) -> Tree {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("run.toml"), settings).expect("a file can be written");
    let mut command: Command = process::command(folder.path(), &["train", "--config", "run.toml"]);
    let ended = command.stdout(Stdio::null()).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    tree::read(&folder.path().join("run"))
}

/// Waits for the checkpoint of an epoch of the run in this folder.
pub fn saved(folder: &Path, epoch: u32) {
    let path = folder.join(format!("run/checkpoints/epoch-{epoch:06}"));
    until(&format!("the checkpoint of epoch {epoch}, for {PATIENCE:?}"), || {
        path.exists().then_some(())
    });
}
