//! AdamW (Loshchilov and Hutter 2019) on tensor operations, so that its state can be saved and a
//! resumed run continues to the bit. Agrees with `torch.optim.AdamW` (PyTorch 2.11, the
//! single-tensor form).

use tch::{Kind, Tensor};

/// The settings that do not change over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-4 }
    }
}

/// The optimizer and its moments.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: Vec<Moments>,
    step: u64,
}

#[derive(Debug)]
struct Moments {
    first: Tensor,
    second: Tensor,
}

impl AdamW {
    /// An optimizer for `parameters`, f32, with zeroed moments of the same strides.
    #[must_use]
    pub fn new(config: AdamWConfig, parameters: &[(String, Tensor)]) -> Self {
        let zeros = |(_, parameter): &(String, Tensor)| Moments {
            first: parameter.zeros_like().detach(),
            second: parameter.zeros_like().detach(),
        };
        Self { config, moments: parameters.iter().map(zeros).collect(), step: 0 }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// One step: `gradients` are in the order of `parameters`; a gradient that is undefined counts
    /// as absent, and its parameter stays.
    pub fn step(&mut self, parameters: &[(String, Tensor)], gradients: &[Tensor], rate: f64) {
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correction1 = 1.0 - beta1.powi(self.step as i32);
        let correction2 = 1.0 - beta2.powi(self.step as i32);
        tch::no_grad(|| {
            for (((_, parameter), gradient), moments) in
                parameters.iter().zip(gradients).zip(&mut self.moments)
            {
                if !gradient.defined() {
                    continue;
                }
                let mut parameter = parameter.shallow_clone();
                let _ = parameter.g_mul_scalar_(1.0 - rate * weight_decay);
                let _ = moments.first.lerp_(gradient, 1.0 - beta1);
                let _ = moments.second.g_mul_scalar_(beta2);
                let square = gradient.square();
                let _ = moments.second.g_add_(&(square * (1.0 - beta2)));
                let root = moments.second.sqrt() / correction2.sqrt() + eps;
                let _ = parameter.g_add_(&(&moments.first / root * (-rate / correction1)));
            }
        });
    }

    /// The moments under `first.NAME` and `second.NAME`, to save.
    #[must_use]
    pub fn state(&self, parameters: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        let named = parameters.iter().zip(&self.moments);
        let both = named.flat_map(|((name, _), moments)| {
            [
                (format!("first.{name}"), moments.first.shallow_clone()),
                (format!("second.{name}"), moments.second.shallow_clone()),
            ]
        });
        both.collect()
    }

    /// Takes up a run after `steps` steps, the moments having been loaded into
    /// [`AdamW::state`]'s tensors.
    pub fn resume_at(&mut self, steps: u64) {
        self.step = steps;
    }
}

/// Euclidean norm over all gradients, f64; undefined gradients count as zero.
#[must_use]
pub fn gradient_norm(gradients: &[Tensor]) -> f64 {
    let norms: Vec<Tensor> = gradients
        .iter()
        .filter(|gradient| gradient.defined())
        .map(|gradient| gradient.norm())
        .collect();
    match norms.is_empty() {
        true => 0.0,
        false => Tensor::stack(&norms, 0).norm().to_kind(Kind::Double).double_value(&[]),
    }
}

/// Scales all gradients so that their norm is at most `limit`, as
/// `torch.nn.utils.clip_grad_norm_` does, and gives the norm before.
pub fn clip_gradient_norm(gradients: &mut [Tensor], limit: f64) -> f64 {
    let norm = gradient_norm(gradients);
    let scale = limit / (norm + 1e-6);
    if scale < 1.0 {
        tch::no_grad(|| {
            for gradient in gradients.iter_mut().filter(|gradient| gradient.defined()) {
                let _ = gradient.g_mul_scalar_(scale);
            }
        });
    }
    norm
}
