//! Draws the missing batches of one checkpoint.

use crate::evaluate::checkpoints::{Checkpoint, RunStart, Weights};
use crate::evaluate::parts::{Part, Parts};
use crate::evaluate::scorer::Scorer;
use crate::evaluate::settings::Settings;
use crate::interrupt;
use crate::output::make_folder_of;
use anyhow::{Context, Result, anyhow, bail};
use ddpo_diffusion::dtype::TorchKind;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_picture::{PngColour, write_png_as};
use ddpo_report::evaluation::{CheckpointRecord, EvaluationFolder};
use ddpo_rewards::Image;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, SampleCoordinates};
use ddpo_run::model::{Model, ModelError};
use ddpo_run::pictures::image;
use ddpo_sampler::engine::{Prediction, Provenance, Sampler};
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

/// A loaded checkpoint.
pub struct Drawer<'a> {
    settings: &'a Settings,
    model: Model,
    unet: UNet,
    record: CheckpointRecord,
    provenance: Provenance,
    /// The classes of samples; `None` for a model without classes.
    classes: Option<ClassList>,
}

/// Images of a batch, and the predicted images of its first samples.
struct Drawn {
    /// Images to look at, from [-1, 1].
    shown: Vec<RgbImage>,
    /// The same images as the reward receives them.
    scored: Vec<Image>,
    /// Predicted images as the reward receives them.
    paths: Vec<Vec<Image>>,
}

impl<'a> Drawer<'a> {
    /// Loads a checkpoint.
    pub fn open(settings: &'a Settings, checkpoint: &Checkpoint) -> Result<Self> {
        let Checkpoint { name, source, epoch, weights: wanted, start } = checkpoint.clone();
        let model = Model::open(&source, &mut crate::output::aside)?;
        let classes = model.classes(settings.asked.class_labels.as_ref())?;
        let (kind, device) = (settings.dtype.kind(), settings.device);
        let may_be_averaged = settings.averaged && wanted == Weights::AveragedIfKept;
        let average = match may_be_averaged {
            true => match model.load_averaged(kind, device) {
                Err(ModelError::NoAverage(_)) => None,
                average => Some(average?),
            },
            false => None,
        };
        let averaged = average.is_some();
        let unet = average.map_or_else(|| model.load(kind, device), Ok)?;
        let digest = unet.parameters().digest();
        // Other types and `--no-ema` load other numbers than the run did.
        let comparable = |start: &RunStart| {
            start.dtype == settings.dtype && may_be_averaged == (wanted == Weights::AveragedIfKept)
        };
        if let Some(start) = start.filter(comparable) {
            check_start(&start, &source, digest)?;
        }
        let provenance =
            Provenance { policy_version: PolicyVersion::default(), weights_digest: digest };
        let weights = digest.to_string();
        let record = CheckpointRecord { name, source, epoch, weights, averaged };
        Ok(Self { settings, model, unet, record, provenance, classes })
    }

    /// Returns the record of the checkpoint.
    pub fn record(&self) -> &CheckpointRecord {
        &self.record
    }

    /// Draws what is missing at `eta`; returns `false` if an interrupt was requested.
    pub fn all_parts(&mut self, eta: f64, scorer: &mut Scorer, parts: &mut Parts) -> Result<bool> {
        let asked = &self.settings.asked;
        let steps = asked.num_inference_steps;
        let (scheduler, device) = (self.settings.scheduler, self.settings.device);
        let transitions = Transitions::new(scheduler, &self.model.scheduler, steps, eta)?;
        let lanes = self.unet.parameters().layout().lanes(self.settings.threads);
        let sampler =
            Sampler::new(transitions.on(device), self.model.shape, self.settings.state_dtype);
        let sampler = sampler.with_classes(self.classes.clone()).with_lanes(lanes);
        let mut before = 0;
        for (batch, noise) in asked.noise.chunks(asked.batch_size).enumerate() {
            let key = (self.record.name.clone(), eta.to_bits(), batch);
            let on_path = asked.path_samples.saturating_sub(before).min(noise.len());
            before += noise.len();
            if parts.take(key.clone(), &self.record.weights) {
                continue;
            }
            if interrupt::requested() {
                return Ok(false);
            }
            let drawn = self.draw(&sampler, noise, on_path, scorer.pixel_maps())?;
            self.write_images(parts.folder(), eta, noise, &drawn.shown)?;
            parts.put(key, self.part(&sampler, noise, &drawn, scorer)?)?;
        }
        Ok(true)
    }

    /// Draws a batch. `maps` are the pixel maps that the rewards need.
    fn draw(
        &self,
        sampler: &Sampler,
        noise: &[(u64, u32)],
        on_path: usize,
        maps: &[PixelMap],
    ) -> Result<Drawn> {
        let coordinates: Vec<SampleCoordinates> = noise.iter().map(coordinates).collect();
        let steps = sampler.transitions().timesteps().len();
        let predicted = Mutex::new(vec![vec![None; steps]; on_path]);
        let shape = self.model.shape;
        let sides = (shape.channels, shape.height, shape.width);
        let see = |prediction: Prediction<'_>| keep(&prediction, sides, maps, &predicted);
        let trajectories = sampler.generate_with_predictions(
            &self.unet,
            &coordinates,
            Purpose::Evaluation,
            self.provenance,
            &see,
        )?;
        let of_name = || format!("checkpoint {}", self.record.name);
        let images = trajectories.iter().map(|one| image(one, shape, PixelMap::Signed));
        let shown = images.collect::<Result<_, _>>().with_context(of_name)?;
        let states =
            trajectories.iter().map(|one| Image::of_state(&one.final_state(), sides, maps));
        let scored = states.collect::<Result<_, _>>().with_context(of_name)?;
        let predicted = predicted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let paths = predicted.into_iter().map(|path| {
            path.into_iter().collect::<Option<Vec<Image>>>().ok_or_else(|| {
                anyhow!("checkpoint {}: a predicted image is not finite", self.record.name)
            })
        });
        Ok(Drawn { shown, scored, paths: paths.collect::<Result<_>>()? })
    }

    fn part(
        &self,
        sampler: &Sampler,
        noise: &[(u64, u32)],
        drawn: &Drawn,
        scorer: &mut Scorer,
    ) -> Result<Part> {
        let values = scorer.values(&drawn.scored)?;
        let paths = drawn.paths.iter().map(|path| scorer.rewards(path)).collect::<Result<_>>()?;
        Ok(Part {
            weights: self.record.weights.clone(),
            columns: values.columns,
            noise: noise.to_vec(),
            classes: self.classes_of(noise),
            values: values.rows,
            timesteps: sampler.transitions().timesteps().to_vec(),
            paths,
            features: scorer.features(&drawn.shown)?.unwrap_or_default(),
        })
    }

    /// Returns the class of each image; empty for a model without classes.
    fn classes_of(&self, noise: &[(u64, u32)]) -> Vec<u32> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let samples = noise.iter().map(coordinates);
        samples.map(|sample| classes.of(Purpose::Evaluation, sample)).collect()
    }

    fn write_images(
        &self,
        folder: &EvaluationFolder,
        eta: f64,
        noise: &[(u64, u32)],
        images: &[RgbImage],
    ) -> Result<()> {
        for (pair, image) in noise.iter().zip(images) {
            let path = folder.image(&self.record.name, eta, *pair);
            make_folder_of(&path)?;
            write_png_as(&path, image, PngColour::of_channels(self.model.shape.channels))?;
        }
        Ok(())
    }
}

/// Returns the coordinates of a sample of a seed.
fn coordinates(&(run_seed, sample): &(u64, u32)) -> SampleCoordinates {
    SampleCoordinates { run_seed, epoch: 0, sample }
}

/// Checks that the loaded weights are the ones that the run recorded at its start.
fn check_start(start: &RunStart, source: &str, found: Digest) -> Result<()> {
    let RunStart { run, weights, .. } = start;
    if *weights != found {
        bail!(
            "checkpoint `{source}`: expected the weights {weights} that the run in {run} started from, \
             found {found}; hint: restore the checkpoint, or name the checkpoints to compare"
        );
    }
    Ok(())
}

/// Keeps the predicted images of the first samples of the batch, whose paths are scored.
fn keep(
    prediction: &Prediction<'_>,
    sides: (usize, usize, usize),
    maps: &[PixelMap],
    kept: &Mutex<Vec<Vec<Option<Image>>>>,
) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = prediction.images.size()[0] as usize;
    for (row, path) in kept.iter_mut().skip(prediction.first).take(rows).enumerate() {
        let state = values(&prediction.images.get(row as i64));
        path[prediction.step] = Image::of_state(&state, sides, maps).ok();
    }
}

/// Returns the values of a tensor as f32, in order.
fn values(tensor: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; tensor.numel()];
    let tensor = tensor.to_kind(Kind::Float).to_device(Device::Cpu).contiguous();
    tensor.copy_data(&mut values, tensor.numel());
    values
}
