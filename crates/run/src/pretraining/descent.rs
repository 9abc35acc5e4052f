//! AdamW with warm-up, cosine decay and averaged weights, for any network.

use ddpo_algorithm::adamw::{AdamW, AdamWConfig};
use ddpo_algorithm::ema::Ema;
use ddpo_algorithm::gradient::clip_gradient_norm;
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::parameters::{Gradients, Parameters};
use ddpo_rollout::noise::NoiseKey;
use tch::Tensor;

/// The settings of a pretraining run.
#[derive(Clone, Copy, Debug)]
pub struct PretrainingConfig {
    /// Seed of weights, order, timesteps and noise.
    pub seed: u64,
    /// Images in each step.
    pub batch_size: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Peak learning rate, reached after 5 % warm-up and followed by a cosine decay to near 0.
    pub learning_rate: f64,
    /// Decay of the averaged weights.
    pub ema_decay: f64,
}

/// The optimizer, its schedule and the averaged weights.
#[derive(Debug)]
pub struct Descent {
    config: PretrainingConfig,
    optimizer: AdamW,
    ema: Ema,
    step: u64,
}

impl Descent {
    /// Starts at the current values of `parameters` and enables gradient tracking for them.
    pub fn new(config: PretrainingConfig, parameters: &mut Parameters) -> Self {
        parameters.track_gradients(Gradients::Tracked);
        let entries = parameters.entries();
        let optimizer = AdamW::new(AdamWConfig::default(), entries);
        let ema = Ema::new(config.ema_decay, entries);
        Self { config, optimizer, ema, step: 0 }
    }

    /// Returns the number of steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Takes one step down the gradient of `loss`, a scalar computed from `parameters`.
    pub fn step(&mut self, parameters: &Parameters, loss: &Tensor) {
        loss.backward();
        let rate = LearningRate {
            initial_lr: self.config.learning_rate * 1e-2,
            peak_lr: self.config.learning_rate,
            warmup_pct: 0.05,
            total_steps: self.config.steps,
        };
        let entries = parameters.entries();
        let mut gradients: Vec<Tensor> = entries.iter().map(|(_, tensor)| tensor.grad()).collect();
        clip_gradient_norm(&mut gradients, 1.0);
        self.optimizer.step(entries, &gradients, rate.at(self.step));
        tch::no_grad(|| gradients.iter_mut().for_each(|gradient| _ = gradient.zero_()));
        self.step += 1;
        self.ema.update(entries, self.step);
    }

    /// Returns the averaged weights, for the checkpoint.
    pub fn averaged(&self) -> &[(String, Tensor)] {
        self.ema.entries()
    }
}

/// Returns `count` uniform indices below `bound`, i64.
pub fn indices(key: NoiseKey, count: usize, bound: i64) -> Tensor {
    let mut uniform = vec![0.0; count];
    key.fill_uniform(&mut uniform);
    let index = |&u: &f32| ((f64::from(u) * bound as f64) as i64).min(bound - 1);
    Tensor::from_slice(&uniform.iter().map(index).collect::<Vec<i64>>())
}
