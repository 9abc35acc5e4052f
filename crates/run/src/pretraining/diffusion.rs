//! Pretraining of a DDPM on images with the simple objective of Ho et al. 2020, equation 14, as in
//! diffusers' `train_unconditional.py`: mean squared error of the prediction at uniform timesteps,
//! AdamW, EMA. The scheduler's `prediction_type` selects the target. The error of a predicted image
//! is weighted by the signal-to-noise ratio, at least 1 (Salimans & Ho 2022, section 4: few steps
//! need a good prediction from pure noise) and at most 5 (Hang et al. 2023: the last steps must not
//! dominate); `train_unconditional.py` does not clamp it.

use crate::pretraining::descent::{Descent, PretrainingConfig, indices};
use crate::pretraining::initialise::initialise;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::noise_schedule::alphas_cumprod;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use tch::{Kind, Tensor};

/// A pretraining run of a DDPM.
#[derive(Debug)]
pub struct Pretraining {
    config: PretrainingConfig,
    unet: UNet,
    descent: Descent,
    alphas: Tensor,
    target: Target,
}

/// The prediction type of the model.
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

    /// Returns the mean squared error of `predicted`. All tensors are f32 `[B, C, H, W]` except
    /// `alpha`, the cumulative alphas `[B, 1, 1, 1]`.
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
    /// Starts from random weights with the distributions of PyTorch's layers.
    pub fn new(config: PretrainingConfig, mut unet: UNet, schedule: &SchedulerConfig) -> Self {
        initialise(unet.parameters_mut(), config.seed);
        Self::from_weights(config, unet, schedule)
    }

    /// Starts from the current weights of `unet`.
    pub fn from_weights(
        config: PretrainingConfig,
        mut unet: UNet,
        schedule: &SchedulerConfig,
    ) -> Self {
        let descent = Descent::new(config, unet.parameters_mut());
        let device = unet.parameters().device();
        let alphas: Vec<f32> = alphas_cumprod(schedule).iter().map(|&alpha| alpha as f32).collect();
        let alphas = Tensor::from_slice(&alphas).to_device(device);
        Self { config, unet, descent, alphas, target: Target::of(schedule) }
    }

    /// Takes one step on a random batch of `images`, f32 `[N, C, H, W]` in [-1, 1]. Returns the loss, a
    /// mean squared error, weighted if the model predicts the image.
    pub fn step(&mut self, images: &Tensor) -> f64 {
        let key = |sample| NoiseKey {
            seed: self.config.seed,
            purpose: Purpose::Pretraining,
            epoch: self.descent.steps_taken() as u32,
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
        let predicted = self.unet.forward(&noisy, &timesteps, None);
        let loss = self.target.loss(&predicted, &images, &noise, &alpha);
        self.descent.step(self.unet.parameters(), &loss);
        loss.double_value(&[])
    }

    /// Returns the averaged weights, for the checkpoint.
    pub fn averaged(&self) -> &[(String, Tensor)] {
        self.descent.averaged()
    }
}
