//! AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2), written
//! with tensor operations so that its state can be saved and a resumed run continues to the bit.
//! Agrees with `torch.optim.AdamW` (PyTorch 2.11, the single-tensor form).

use tch::Tensor;

/// The hyperparameters of AdamW, apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment, the mean of gradients.
    pub beta1: f64,
    /// Decay of the second moment, the mean of squared gradients.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; a step multiplies it by the learning rate.
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
    /// Makes an optimizer for `parameters`, f32, with zeroed moments of the same shapes and strides.
    pub fn new(config: AdamWConfig, parameters: &[(String, Tensor)]) -> Self {
        let zeros = |(_, parameter): &(String, Tensor)| Moments {
            first: parameter.zeros_like().detach(),
            second: parameter.zeros_like().detach(),
        };
        Self { config, moments: parameters.iter().map(zeros).collect(), step: 0 }
    }

    /// Returns the number of steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Takes one step with the learning rate `rate`. `gradients` are f32, in the order of
    /// `parameters`; a parameter with an undefined gradient is not changed.
    ///
    /// With step number t from 1: theta <- theta - rate * `weight_decay` * theta;
    /// m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    /// theta <- theta - rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps).
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

    /// Returns the moments, named `first.NAME` and `second.NAME`, to save or to load into.
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

    /// Sets the number of steps taken after the moments have been loaded into the tensors of
    /// [`AdamW::state`].
    pub fn resume_at(&mut self, steps: u64) {
        self.step = steps;
    }
}
