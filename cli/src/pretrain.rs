//! `ddpo pretrain`: trains a DDPM from scratch, or from another one's weights and scheduler.
//! `models/toy-faces-32/README.md` has the two commands that reproduce the embedded model.

use crate::arguments::PretrainCommand;
use crate::choices::PredictionType;
use crate::images::Reader;
use crate::output::aside;
use anyhow::{Context, Result, bail};
use ddpo_checkpoint::{PipelineToSave, save_pipeline};
use ddpo_diffusion::device;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::{SampleSize, UNetConfig};
use ddpo_files::publish_folder;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::numerics::Numerics;
use ddpo_run::model::Model;
use ddpo_run::pretraining::{Pretraining, PretrainingConfig};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The scheduler config of a model that is trained from scratch.
const SCHEDULER: &str = r#"{
  "_class_name": "DDPMScheduler",
  "_diffusers_version": "0.35.0",
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "beta_start": 0.0001,
  "clip_sample": true,
  "num_train_timesteps": 1000,
  "prediction_type": "epsilon",
  "timestep_spacing": "trailing",
  "variance_type": "fixed_small"
}
"#;

/// The seed of the drawn faces, different from the training seed.
const FACES_SEED: u64 = 1;

/// Runs the command.
pub fn run(command: &PretrainCommand) -> Result<()> {
    crate::output::check(&command.out, crate::output::PIPELINE)?;
    let device = device::open(&command.device, Numerics::default())?;
    device::set_threads(command.threads)?;
    let start = command.init.as_ref().map(|name| Model::open(name, &mut aside)).transpose()?;
    let config = unet_config(command, start.as_ref())?;
    let images = data(command, &config)?.to_device(device);
    let scheduler_text = scheduler_text(start.as_ref(), command.prediction_type)?;
    let scheduler = SchedulerConfig::from_json(&scheduler_text)?;
    let settings = PretrainingConfig {
        seed: command.seed,
        batch_size: command.batch_size,
        steps: command.steps,
        learning_rate: command.learning_rate,
        ema_decay: command.ema_decay,
    };
    let mut training = match &start {
        None => Pretraining::new(settings, UNet::new(&config, Kind::Float, device), &scheduler),
        Some(model) => {
            Pretraining::from_weights(settings, model.load(Kind::Float, device)?, &scheduler)
        }
    };
    train(&mut training, command.steps, &images);
    let text = config.to_json()?;
    let metadata = BTreeMap::new();
    let pipeline = PipelineToSave {
        unet_config: &text,
        scheduler_config: &scheduler_text,
        tensors: training.averaged(),
        metadata: &metadata,
    };
    publish_folder(&command.out, |root| save_pipeline(root, &pipeline))?;
    aside(&format!("averaged weights in {}", command.out.display()));
    Ok(())
}

fn train(training: &mut Pretraining, steps: u64, images: &Tensor) {
    let mut sum = 0.0;
    for step in 1..=steps {
        sum += training.step(images);
        if step % 100 == 0 {
            aside(&format!("step {step} of {steps}: loss {:.5}", sum / 100.0));
            sum = 0.0;
        }
    }
}

/// Returns the config of the model to train: of `start` if given, else of the `--unet-config` file, else
/// [`toy_faces`].
fn unet_config(command: &PretrainCommand, start: Option<&Model>) -> Result<UNetConfig> {
    let config = match (start, &command.unet_config) {
        (Some(model), _) => model.config().clone(),
        (None, None) => toy_faces(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let config = UNetConfig::from_json(&text)
                .with_context(|| format!("could not use {}", path.display()))?;
            let (found, expected) = (config.out_channels, config.in_channels);
            if found != expected {
                bail!(
                    "{}: `out_channels` = {found}: expected {expected}, equal to `in_channels`",
                    path.display()
                );
            }
            config
        }
    };
    if let Some(classes) = config.num_class_embeds {
        bail!(
            "pretraining: expected a model without classes, found `num_class_embeds` = {classes}; \
             hint: train class-conditional models with diffusers, then finetune them with ddpo train"
        );
    }
    if config.dropout > 0.0 {
        aside(&format!("the model's `dropout` = {} is not applied", config.dropout));
    }
    Ok(config)
}

/// Returns the scheduler config to train with and to save: the config of `start`, or [`SCHEDULER`] without
/// one. `asked` replaces its prediction type.
fn scheduler_text(start: Option<&Model>, asked: Option<PredictionType>) -> Result<String> {
    let text = start.map_or(SCHEDULER, Model::scheduler_text);
    let found = SchedulerConfig::from_json(text)?.prediction_type;
    let Some(asked) = asked.map(PredictionType::name).filter(|asked| *asked != found) else {
        return Ok(text.to_owned());
    };
    if let Some(model) = start {
        aside(&format!(
            "--prediction-type: the model will predict {asked}, which replaces {found} in the scheduler config of {}",
            model.name()
        ));
    }
    let mut fields: Map<String, Value> = serde_json::from_str(text)?;
    fields.insert("prediction_type".into(), asked.into());
    Ok(serde_json::to_string_pretty(&fields)? + "\n")
}

/// Returns the model of `models/toy-faces-32`: 1.77 M parameters.
fn toy_faces() -> UNetConfig {
    let names = |first: &str, rest: &str, last: &str| {
        vec![first.to_owned(), rest.to_owned(), rest.to_owned(), last.to_owned()]
    };
    UNetConfig {
        sample_size: Some(SampleSize::Square(32)),
        block_out_channels: vec![16, 32, 64, 96],
        down_block_types: names("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types: names("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block: 1,
        norm_num_groups: 8,
        attention_head_dim: Some(32),
        flip_sin_to_cos: false,
        freq_shift: 1.0,
        norm_eps: 1e-6,
        ..UNetConfig::default()
    }
}

/// Returns all images as f32 `[N, C, H, W]` in [-1, 1].
fn data(command: &PretrainCommand, config: &UNetConfig) -> Result<Tensor> {
    let (height, width) = config.image_size()?;
    if config.in_channels != 3 {
        bail!("pretraining: expected a model with 3 channels, found {}", config.in_channels);
    }
    let mut values = Vec::new();
    let mut count = 0;
    match &command.images {
        None => {
            if command.faces == 0 {
                bail!("--faces: expected at least 1, found 0");
            }
            if height != width {
                let hint = "hint: give a folder of images with --images";
                bail!(
                    "drawn faces: expected a square model, found one of {width}x{height}; {hint}"
                );
            }
            for index in 0..command.faces as u64 {
                push(&ddpo_faces::draw_face(FACES_SEED, index, height).0, &mut values);
                count += 1;
            }
        }
        Some(folder) => {
            let mut reader = Reader::new(&command.files);
            for path in reader.files(folder)? {
                let Some(image) = reader.read(&path)? else { continue };
                if (image.height(), image.width()) != (height, width) {
                    let found = format!("{}x{}", image.width(), image.height());
                    let path = path.display();
                    bail!(
                        "{path}: expected an image of {width}x{height}, the size of the model, found {found}"
                    );
                }
                push(&image, &mut values);
                count += 1;
            }
            reader.finish()?;
        }
    }
    let size = [count, 3, height as i64, width as i64];
    Ok(Tensor::from_slice(&values).view(size).to_device(Device::Cpu))
}

fn push(image: &RgbImage, values: &mut Vec<f32>) {
    for channel in 0..3 {
        let levels = image.pixels().iter().skip(channel).step_by(3);
        values.extend(levels.map(|&level| f32::from(level) / 127.5 - 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_model_has_the_scheduler_of_its_command() {
        let text = scheduler_text(None, Some(PredictionType::Sample)).unwrap();
        assert_eq!(text, include_str!("../../models/toy-faces-32/scheduler/scheduler_config.json"));
        assert_eq!(scheduler_text(None, None).unwrap(), SCHEDULER);
        assert_eq!(scheduler_text(None, Some(PredictionType::Epsilon)).unwrap(), SCHEDULER);
    }
}
