//! The activation that `act_fn` names (diffusers `models/activations.py`).

use crate::layers::GroupNorm;
use crate::unet::config::UNetConfig;
use tch::Tensor;

/// A pointwise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x), also called swish.
    Silu,
    /// x * tanh(softplus(x)).
    Mish,
    /// x * Phi(x), exact.
    Gelu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The activation of a checked config.
    pub fn of(config: &UNetConfig) -> Self {
        match config.act_fn.as_str() {
            "mish" => Self::Mish,
            "gelu" => Self::Gelu,
            "relu" => Self::Relu,
            _ => Self::Silu,
        }
    }

    /// Applies it; the shape stays.
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Silu => x.silu(),
            Self::Mish => x.mish(),
            Self::Gelu => x.gelu("none"),
            Self::Relu => x.relu(),
        }
    }

    /// Applies it to `norm(x + shift)`, `shift` `[B, C]`: the pair that stands before every
    /// convolution of a residual block.
    pub(crate) fn after_norm(self, norm: &GroupNorm, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        match self {
            Self::Silu => norm.forward_silu(x, shift),
            _ => self.forward(&norm.forward_shifted(x, shift)),
        }
    }
}
