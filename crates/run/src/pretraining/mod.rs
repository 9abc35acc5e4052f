//! Pretraining, for the models that the project makes itself: of a DDPM ([`Pretraining`]), and what
//! the training of any other network shares with it: where weights start, and the way down.

mod diffusion;

pub use diffusion::Pretraining;

use ddpo_algorithm::adamw::{AdamW, AdamWConfig, clip_gradient_norm};
use ddpo_algorithm::ema::Ema;
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::parameters::{Gradients, Parameters};
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

/// The optimizer, its schedule and the average of the weights.
#[derive(Debug)]
pub struct Descent {
    config: PretrainingConfig,
    optimizer: AdamW,
    ema: Ema,
    step: u64,
}

impl Descent {
    /// Begins at the present values of `parameters`, which collect gradients from here on.
    #[must_use]
    pub fn new(config: PretrainingConfig, parameters: &mut Parameters) -> Self {
        parameters.track_gradients(Gradients::Tracked);
        let entries = parameters.entries();
        let optimizer = AdamW::new(AdamWConfig::default(), entries);
        let ema = Ema::new(config.ema_decay, entries);
        Self { config, optimizer, ema, step: 0 }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// One step down `loss`, a scalar that autograd connects to `parameters`.
    pub fn step(&mut self, parameters: &Parameters, loss: &Tensor) {
        loss.backward();
        let rate = LearningRate {
            initial: self.config.learning_rate * 1e-2,
            peak: self.config.learning_rate,
            warmup_fraction: 0.05,
            total_steps: self.config.steps,
        };
        let entries = parameters.entries();
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
pub fn indices(key: NoiseKey, count: usize, bound: i64) -> Tensor {
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

/// Places and tokens of a Transformer start with this deviation, as transformers' ViT has them.
const EMBEDDING_DEVIATION: f64 = 0.02;

/// Norms start at one and zero, everything else uniform within 1 / sqrt(fan in), as
/// `torch.nn.Conv2d` and `torch.nn.Linear` start; a Transformer's embeddings within
/// sqrt(3) * 0.02.
pub fn initialise(parameters: &mut Parameters, seed: u64) {
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
        if name.ends_with("_token") || name.ends_with("_embeddings") {
            bound = EMBEDDING_DEVIATION * 3.0_f64.sqrt();
        }
        let mut uniform = vec![0.0; tensor.numel()];
        let sample = index as u32;
        NoiseKey { seed, purpose: Purpose::Weights, epoch: 0, sample, step: 0 }
            .fill_uniform(&mut uniform);
        let drawn = Tensor::from_slice(&uniform).view_as(&tensor).to_kind(Kind::Float);
        tch::no_grad(|| tensor.copy_(&((drawn * 2.0 - 1.0) * bound)));
    }
}
