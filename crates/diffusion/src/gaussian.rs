//! The transition as a Gaussian: log-probability and divergence, in f32.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How a quantity per dimension becomes one number per sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Mean over dimensions, the unit in which the clip of 1e-4 is meant.
    #[default]
    Mean,
    /// Sum over dimensions: nats.
    Sum,
}

impl Reduction {
    /// What a mean over `dimensions` is multiplied by to be in this unit.
    #[must_use]
    pub fn factor(self, dimensions: usize) -> f64 {
        match self {
            Self::Mean => 1.0,
            Self::Sum => dimensions as f64,
        }
    }
}

/// Mean over dimensions of log N(x; mean, sigma^2), nats a dimension, `[B]` f32.
///
/// `x` and `mean` are f32 `[B, C, H, W]`; `sigma` f32 `[B, 1, 1, 1]`, positive. The constant is
/// kept, so the value agrees with `torch.distributions.Normal(mean, sigma).log_prob(x).mean()`.
pub fn log_prob(x: &Tensor, mean: &Tensor, sigma: &Tensor) -> Tensor {
    let half_log_two_pi = 0.5 * std::f64::consts::TAU.ln();
    let square = ((x - mean) / sigma).square();
    mean_over_dimensions(&square) * -0.5 - sigma.log().flatten(0, -1) - half_log_two_pi
}

/// Mean over dimensions of KL(N(mean, sigma^2) || N(reference, sigma^2)) =
/// ||mean - reference||^2 / (2 sigma^2), nats a dimension, `[B]` f32.
pub fn kl_same_sigma(mean: &Tensor, reference: &Tensor, sigma: &Tensor) -> Tensor {
    mean_over_dimensions(&((mean - reference) / sigma).square()) * 0.5
}

fn mean_over_dimensions(x: &Tensor) -> Tensor {
    x.mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float)
}
