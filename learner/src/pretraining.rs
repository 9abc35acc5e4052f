//! Pretraining of a DDPM on images: the simple objective of Ho et al. 2020, equation 14, as
//! diffusers' `train_unconditional.py` has it: mean squared error of what the model predicts at
//! uniform timesteps, AdamW, EMA. The scheduler's `prediction_type` says what that is. The error of
//! a predicted image is weighted by the signal-to-noise ratio held between one (Salimans & Ho 2022,
//! section 4: few steps need a good guess out of pure noise) and five (Hang et al. 2023: the last
//! steps must not drown the others); `train_unconditional.py` has no bounds there.

use crate::adamw::{AdamW, AdamWConfig, clip_gradient_norm};
use crate::ema::Ema;
use crate::schedule::LearningRate;
use ddpo_diffusion::parameters::{Gradients, Parameters};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::noise_schedule::alphas_cumprod;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use tch::{Kind, Tensor};

/// The settings of a pretraining run.
#[derive(Clone, Copy, Debug)]
pub struct PretrainingConfig {
    /// Seed of weights, order, timesteps and noise.
    pub seed: u64,
    /// Images in a step.
    pub batch_size: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Peak learning rate, after 5 % warm-up and before a cosine to almost nothing.
    pub learning_rate: f64,
    /// Decay of the averaged weights.
    pub ema_decay: f64,
}

/// A pretraining run: the model, its optimizer and its average.
#[derive(Debug)]
pub struct Pretraining {
    config: PretrainingConfig,
    unet: UNet,
    optimizer: AdamW,
    ema: Ema,
    alphas: Tensor,
    target: Target,
    step: u64,
}

/// What the model is asked for.
#[derive(Clone, Copy, Debug)]
enum Target {
    Noise,
    Image,
    Velocity,
}

impl Target {
    fn of(schedule: &SchedulerConfig) -> Self {
        match schedule.prediction_type.as_str() {
            "sample" => Self::Image,
            "v_prediction" => Self::Velocity,
            _ => Self::Noise,
        }
    }

    /// Mean squared error of `predicted`, all tensors f32 `[B, C, H, W]` but `alpha`, the
    /// cumulative alphas `[B, 1, 1, 1]`.
    fn loss(self, predicted: &Tensor, images: &Tensor, noise: &Tensor, alpha: &Tensor) -> Tensor {
        let mean = tch::Reduction::Mean;
        let beta = alpha.neg() + 1.0;
        match self {
            Self::Noise => predicted.mse_loss(noise, mean),
            Self::Velocity => {
                predicted.mse_loss(&(alpha.sqrt() * noise - beta.sqrt() * images), mean)
            }
            Self::Image => {
                let weight = (alpha / beta).clamp(1.0, 5.0);
                (predicted.mse_loss(images, tch::Reduction::None) * weight).mean(Kind::Float)
            }
        }
    }
}

impl Pretraining {
    /// Starts with weights drawn as PyTorch's layers draw theirs.
    #[must_use]
    pub fn new(config: PretrainingConfig, mut unet: UNet, schedule: &SchedulerConfig) -> Self {
        initialise(unet.parameters_mut(), config.seed);
        Self::from_weights(config, unet, schedule)
    }

    /// Starts with the weights that `unet` has.
    #[must_use]
    pub fn from_weights(
        config: PretrainingConfig,
        mut unet: UNet,
        schedule: &SchedulerConfig,
    ) -> Self {
        unet.parameters_mut().track_gradients(Gradients::Tracked);
        let entries = unet.parameters().entries();
        let device = unet.parameters().device();
        let optimizer = AdamW::new(AdamWConfig::default(), entries);
        let ema = Ema::new(config.ema_decay, entries);
        let alphas: Vec<f32> = alphas_cumprod(schedule).iter().map(|&alpha| alpha as f32).collect();
        let alphas = Tensor::from_slice(&alphas).to_device(device);
        Self { config, unet, optimizer, ema, alphas, target: Target::of(schedule), step: 0 }
    }

    /// One step on a batch chosen from `images` f32 `[N, C, H, W]` in [-1, 1]; gives the loss, a
    /// mean squared error, weighted if the model predicts the image.
    pub fn step(&mut self, images: &Tensor) -> f64 {
        let key = |sample| NoiseKey {
            seed: self.config.seed,
            purpose: Purpose::Pretraining,
            epoch: self.step as u32,
            sample,
            step: 0,
        };
        let batch = self.config.batch_size;
        let device = images.device();
        let chosen = indices(key(0), batch, images.size()[0]);
        let timesteps = indices(key(1), batch, self.alphas.size()[0]).to_device(device);
        let images = images.index_select(0, &chosen.to_device(device));
        let mut noise = vec![0.0; images.numel()];
        key(2).fill_normal(&mut noise);
        let noise = Tensor::from_slice(&noise).view_as(&images).to_device(device);
        let alpha = self.alphas.index_select(0, &timesteps).view([-1, 1, 1, 1]);
        let noisy = &images * alpha.sqrt() + &noise * (alpha.neg() + 1.0).sqrt();
        let predicted = self.unet.forward(&noisy, &timesteps);
        let loss = self.target.loss(&predicted, &images, &noise, &alpha);
        loss.backward();
        self.update();
        loss.double_value(&[])
    }

    fn update(&mut self) {
        let rate = LearningRate {
            initial: self.config.learning_rate * 1e-2,
            peak: self.config.learning_rate,
            warmup_fraction: 0.05,
            total_steps: self.config.steps,
        };
        let entries = self.unet.parameters().entries();
        let mut gradients: Vec<Tensor> = entries.iter().map(|(_, tensor)| tensor.grad()).collect();
        clip_gradient_norm(&mut gradients, 1.0);
        self.optimizer.step(entries, &gradients, rate.at(self.step));
        gradients.iter_mut().for_each(Tensor::zero_grad_in_place);
        self.step += 1;
        self.ema.update(entries, self.step);
    }

    /// The averaged weights, for the checkpoint.
    pub fn averaged(&self) -> &[(String, Tensor)] {
        self.ema.entries()
    }
}

/// `count` indices below `bound`, i64, from uniform draws.
fn indices(key: NoiseKey, count: usize, bound: i64) -> Tensor {
    let mut uniform = vec![0.0; count];
    key.fill_uniform(&mut uniform);
    let index = |&u: &f32| ((f64::from(u) * bound as f64) as i64).min(bound - 1);
    Tensor::from_slice(&uniform.iter().map(index).collect::<Vec<i64>>())
}

trait ZeroInPlace {
    fn zero_grad_in_place(&mut self);
}

impl ZeroInPlace for Tensor {
    fn zero_grad_in_place(&mut self) {
        tch::no_grad(|| {
            let _ = self.zero_();
        });
    }
}

/// Norms start at one and zero, everything else uniform within 1 / sqrt(fan in), as
/// `torch.nn.Conv2d` and `torch.nn.Linear` start.
fn initialise(parameters: &mut Parameters, seed: u64) {
    let mut bound = 0.0;
    for (index, (name, tensor)) in parameters.entries().iter().enumerate() {
        let mut tensor = tensor.shallow_clone();
        let weight = name.ends_with("weight");
        if name.contains("norm") {
            let _ = tch::no_grad(|| tensor.fill_(f64::from(u8::from(weight))));
            continue;
        }
        if weight {
            let fan_in: i64 = tensor.size()[1..].iter().product();
            bound = 1.0 / (fan_in as f64).sqrt();
        }
        let mut uniform = vec![0.0; tensor.numel()];
        let sample = index as u32;
        NoiseKey { seed, purpose: Purpose::Weights, epoch: 0, sample, step: 0 }
            .fill_uniform(&mut uniform);
        let drawn = Tensor::from_slice(&uniform).view_as(&tensor).to_kind(Kind::Float);
        tch::no_grad(|| tensor.copy_(&((drawn * 2.0 - 1.0) * bound)));
    }
}
