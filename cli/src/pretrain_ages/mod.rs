//! `ddpo pretrain-ages`: trains a small ViT age classifier, in transformers' layout, on drawn
//! faces. `models/toy-ages-32/README.md` has the command that reproduces the embedded one.

mod augment;
mod data;
mod held_out;

use crate::arguments::PretrainAgesCommand;
use crate::output::aside;
use anyhow::Result;
use augment::Augmentation;
use data::{Faces, SIDE};
use ddpo_checkpoint::{WriteError, write_tensors};
use ddpo_diffusion::device;
use ddpo_faces::AgeClass;
use ddpo_files::{publish_folder, write_file};
use ddpo_rewards::vision::config::VitConfig;
use ddpo_rewards::vision::vit::VitClassifier;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_run::pretraining::{Descent, PretrainingConfig, indices, initialise};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The file that identifies a classifier.
const CONFIG: &str = "config.json";

/// Label smoothing: the share of the target that is spread over all classes. With it the classifier does
/// not saturate, and a slightly older face still gains some reward.
const LABEL_SMOOTHING: f64 = 0.02;

/// Runs the command.
pub fn run(command: &PretrainAgesCommand) -> Result<()> {
    crate::output::check(&command.out, CONFIG)?;
    device::set_threads(command.threads)?;
    let faces = Faces::draw(command.faces, command.seed)?;
    let settings = PretrainingConfig {
        seed: command.seed,
        batch_size: command.batch_size,
        steps: command.steps,
        learning_rate: command.learning_rate,
        ema_decay: command.ema_decay,
    };
    let mut model = VitClassifier::new(&VitConfig::from_json(&config())?, Kind::Float, Device::Cpu);
    initialise(model.parameters_mut(), command.seed);
    let mut descent = Descent::new(settings, model.parameters_mut());
    let mut sum = 0.0;
    for step in 1..=command.steps {
        sum += descend(&settings, &faces, &model, &mut descent);
        if step % 100 == 0 {
            aside(&format!("step {step} of {}: loss {:.4}", command.steps, sum / 100.0));
            sum = 0.0;
        }
    }
    publish_folder(&command.out, |root| save(root, descent.averaged()))?;
    model.parameters_mut().copy_values(descent.averaged());
    aside(&held_out::report(&model));
    aside(&format!("averaged weights in {}", command.out.display()));
    Ok(())
}

/// Takes one step on a batch and returns the loss.
fn descend(
    settings: &PretrainingConfig,
    faces: &Faces,
    model: &VitClassifier,
    descent: &mut Descent,
) -> f64 {
    let key = NoiseKey {
        seed: settings.seed,
        purpose: Purpose::Pretraining,
        epoch: descent.steps_taken() as u32,
        sample: 0,
        step: 0,
    };
    let chosen = indices(key, settings.batch_size, faces.labels.size()[0]);
    let images = Augmentation::new(key).apply(&faces.chosen(&chosen));
    let labels = faces.labels.index_select(0, &chosen);
    let logits = model.forward_recorded(&images);
    let mean = tch::Reduction::Mean;
    // -100 is PyTorch's default `ignore_index`; no label has this value.
    let loss = logits.cross_entropy_loss(&labels, None::<Tensor>, mean, -100, LABEL_SMOOTHING);
    descent.step(model.parameters(), &loss);
    loss.double_value(&[])
}

fn save(root: &Path, tensors: &[(String, Tensor)]) -> Result<(), WriteError> {
    write_file(&root.join(CONFIG), config().as_bytes())?;
    write_file(&root.join("preprocessor_config.json"), preprocessor().as_bytes())?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    write_tensors(&root.join("model.safetensors"), tensors, &metadata)
}

/// Returns `config.json` of transformers' `ViTForImageClassification`.
fn config() -> String {
    let labels = || AgeClass::ALL.iter().map(|class| class.label()).enumerate();
    let names: BTreeMap<String, &str> = labels().map(|(at, name)| (at.to_string(), name)).collect();
    let places: BTreeMap<&str, usize> = labels().map(|(at, name)| (name, at)).collect();
    pretty(&json!({
        "architectures": ["ViTForImageClassification"],
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 64,
        "id2label": names,
        "image_size": SIDE,
        "initializer_range": 0.02,
        "intermediate_size": 192,
        "label2id": places,
        "layer_norm_eps": 1e-6,
        "model_type": "vit",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 4,
        "patch_size": 4,
        "qkv_bias": true,
        "torch_dtype": "float32",
    }))
}

/// Returns `preprocessor_config.json`: levels to [-1, 1], other sizes are resized.
fn preprocessor() -> String {
    pretty(&json!({
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "rescale_factor": 1.0 / 255.0,
        "size": {"height": SIDE, "width": SIDE},
    }))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
