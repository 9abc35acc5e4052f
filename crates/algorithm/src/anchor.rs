//! Anchors: samples of the pretrained model, drawn once, that the policy must keep denoising.
//!
//! Every optimizer step adds `anchor_coef` times the diffusion loss on some of them (Ho et al. 2020, equation
//! 14, in the model's prediction type). Up to a constant and to the weight of each level, its mean bounds the
//! forward KL divergence KL(pretrained || policy), which is large if the policy loses a part of what the
//! pretrained model draws (DDRL, arXiv 2512.04332). `kl_coef` weights the reverse divergence, on the policy's
//! samples, which is not.

use crate::forward::mean_square;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::scheduler::forward::{ForwardProcess, Noised};
use ddpo_diffusion::transfer::upload;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::{SampleCoordinates, StateShape};
use tch::{Device, Tensor};

/// The settings of the draw.
#[derive(Clone, Copy, Debug)]
pub struct AnchorDraw<'a> {
    /// Number of anchors.
    pub count: usize,
    /// Samples denoised together.
    pub batch_size: usize,
    /// Seed of the run.
    pub run_seed: u64,
    /// The shape of an image.
    pub shape: StateShape,
    /// The classes of a class-conditional model; anchors take them in turn.
    pub classes: Option<&'a ClassList>,
}

/// The images of the anchors, and their classes.
#[derive(Debug)]
pub struct Anchors {
    /// x_0, f32 `[N, C, H, W]` on the device.
    images: Tensor,
    /// i64 `[N]`; `None` for a model without classes.
    classes: Option<Tensor>,
    run_seed: u64,
}

/// An anchor at a noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoisedAnchor {
    /// The anchor.
    pub index: usize,
    /// The timestep of the level.
    pub timestep: i64,
    /// The key of its noise.
    pub noise: NoiseKey,
}

impl Anchors {
    /// Draws the anchors with `network` in the steps of `transitions`, each from its own keyed noise.
    pub fn draw(network: &UNet, transitions: &Transitions, draw: &AnchorDraw<'_>) -> Self {
        let _guard = tch::no_grad_guard();
        let device = network.parameters().device();
        let coordinates = |sample| SampleCoordinates { run_seed: draw.run_seed, epoch: 0, sample };
        let samples: Vec<SampleCoordinates> = (0..draw.count as u32).map(coordinates).collect();
        let classes = draw.classes.map(|classes| {
            let of = |sample: &SampleCoordinates| i64::from(classes.of(Purpose::Anchor, *sample));
            let list: Vec<i64> = samples.iter().map(of).collect();
            upload(&list, &[list.len() as i64], device)
        });
        let batches = samples.chunks(draw.batch_size).scan(0, |first, batch| {
            let count = batch.len() as i64;
            let labels = classes.as_ref().map(|all| all.narrow(0, *first, count));
            *first += count;
            Some(denoised(network, transitions, batch, draw.shape, labels.as_ref()))
        });
        let images = Tensor::cat(&batches.collect::<Vec<_>>(), 0);
        Self { images, classes, run_seed: draw.run_seed }
    }

    /// Returns the same anchors for another thread.
    pub(crate) fn shared(&self) -> Self {
        Self {
            images: self.images.shallow_clone(),
            classes: self.classes.as_ref().map(Tensor::shallow_clone),
            run_seed: self.run_seed,
        }
    }

    /// Returns the anchors of an optimizer step, `count` of them, each at a noise level: drawn by key with
    /// replacement, one level from each of `count` equal parts of the schedule's `timesteps`.
    pub(crate) fn of_step(&self, step: u64, count: usize, timesteps: usize) -> Vec<NoisedAnchor> {
        let key = |purpose, sample| NoiseKey {
            seed: self.run_seed,
            purpose,
            epoch: step as u32,
            sample,
            step: 0,
        };
        let mut draws = vec![0.0; 2 * count];
        key(Purpose::AnchorChoice, 0).fill_uniform(&mut draws);
        let (chosen, levels) = draws.split_at(count);
        let below = |share: f64, end: usize| ((share * end as f64) as usize).min(end - 1);
        let anchors = self.images.size()[0] as usize;
        let one = |(part, (&chosen, &level)): (usize, (&f32, &f32))| NoisedAnchor {
            index: below(f64::from(chosen), anchors),
            timestep: below((part as f64 + f64::from(level)) / count as f64, timesteps) as i64,
            noise: key(Purpose::AnchorNoise, part as u32),
        };
        chosen.iter().zip(levels).enumerate().map(one).collect()
    }

    /// Returns the squared error of the prediction of `network` for each of `anchors`, at least one, mean
    /// over dimensions, f32 `[P]`, with gradient.
    pub(crate) fn errors(
        &self,
        network: &UNet,
        process: &ForwardProcess,
        anchors: &[NoisedAnchor],
    ) -> Tensor {
        let device = self.images.device();
        let size = [anchors.len() as i64];
        let list = |of: &dyn Fn(&NoisedAnchor) -> i64| {
            upload(&anchors.iter().map(of).collect::<Vec<i64>>(), &size, device)
        };
        let rows = list(&|one| one.index as i64);
        let image = self.images.index_select(0, &rows);
        let levels: Vec<i64> = anchors.iter().map(|one| one.timestep).collect();
        let noise = noise(anchors.iter().map(|one| one.noise), &image.size(), device);
        let Noised { state, target } = process.noised(&image, &noise, &levels);
        let labels = self.classes.as_ref().map(|all| all.index_select(0, &rows));
        let prediction = network.forward(&state, &list(&|one| one.timestep), labels.as_ref());
        mean_square(&(prediction - target))
    }
}

/// Returns the images x_0 of `samples`, f32 `[B, C, H, W]`.
fn denoised(
    network: &UNet,
    transitions: &Transitions,
    samples: &[SampleCoordinates],
    shape: StateShape,
    labels: Option<&Tensor>,
) -> Tensor {
    let size = [samples.len(), shape.channels, shape.height, shape.width].map(|side| side as i64);
    let device = network.parameters().device();
    let draw = |step: usize| {
        let keys = samples.iter().map(|sample| sample.noise(Purpose::Anchor, step as u32));
        noise(keys, &size, device)
    };
    let first = draw(0);
    (0..transitions.timesteps().len()).fold(first, |state, step| {
        let rows = vec![step; samples.len()];
        let output = network.forward(&state, &transitions.timestep_tensor(&rows), labels);
        if transitions.coefficients()[step].sigma > 0.0 {
            transitions.step(&state, &output, &rows, &draw(step + 1)).sample
        } else {
            transitions.mean_and_sigma(&state, &output, &rows).0
        }
    })
}

/// Returns the noise of each key, f32 of `size`, whose first number is that of the keys.
fn noise(keys: impl ExactSizeIterator<Item = NoiseKey>, size: &[i64], device: Device) -> Tensor {
    let each = size[1..].iter().product::<i64>() as usize;
    let mut values = vec![0.0; keys.len() * each];
    for (key, out) in keys.zip(values.chunks_exact_mut(each)) {
        key.fill_normal(out);
    }
    upload(&values, size, device)
}
