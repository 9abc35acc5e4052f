//! Log-probability and KL divergence of the Gaussian transition p(x_{t-1} | x_t), in f32.
//!
//! Both functions return means over the D = C * H * W dimensions of a sample; [`Reduction`] converts
//! them to sums.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Reduction of a per-dimension quantity to one number per sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Mean over dimensions, in nats per dimension, as in `ddpo-pytorch`
    /// (`ddpo_pytorch/diffusers_patch/ddim_with_logprob.py`). Its clip range of 1e-4 assumes this unit.
    #[default]
    Mean,
    /// Sum over dimensions, in nats: the exact log-probability of the sample.
    Sum,
}

impl Reduction {
    /// Returns the name in settings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
        }
    }

    /// Returns the factor that converts a mean over `dimensions` to this reduction.
    #[must_use]
    pub fn factor(self, dimensions: usize) -> f64 {
        match self {
            Self::Mean => 1.0,
            Self::Sum => dimensions as f64,
        }
    }
}

/// Returns the mean over dimensions of log N(x; mean, sigma^2), in nats per dimension:
///
/// ```text
/// (1/D) sum_d [ -(x_d - mean_d)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2 ]
/// ```
///
/// `x` and `mean` are f32 `[B, C, H, W]`, `sigma` is f32 `[B, 1, 1, 1]` and positive; the result is f32
/// `[B]`. Agrees with `torch.distributions.Normal(mean, sigma).log_prob(x).mean((1, 2, 3))`, including
/// the constant.
pub fn log_prob(x: &Tensor, mean: &Tensor, sigma: &Tensor) -> Tensor {
    let half_log_two_pi = 0.5 * std::f64::consts::TAU.ln();
    let square = ((x - mean) / sigma).square();
    mean_over_dimensions(&square) * -0.5 - sigma.log().flatten(0, -1) - half_log_two_pi
}

/// Returns the mean over dimensions of KL(N(mean, sigma^2) || N(reference, sigma^2)), in nats per
/// dimension:
///
/// ```text
/// (1/D) sum_d (mean_d - reference_d)^2 / (2 sigma^2)
/// ```
///
/// `mean` and `reference` are f32 `[B, C, H, W]`, `sigma` is f32 `[B, 1, 1, 1]` and positive; the result
/// is f32 `[B]`. Equals `torch.distributions.kl_divergence` of two `Normal`s with the same scale.
pub fn kl_same_sigma(mean: &Tensor, reference: &Tensor, sigma: &Tensor) -> Tensor {
    mean_over_dimensions(&((mean - reference) / sigma).square()) * 0.5
}

fn mean_over_dimensions(x: &Tensor) -> Tensor {
    x.mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float)
}
