//! The activations of `act_fn` (diffusers `models/activations.py`). In `UNet2DModel` they apply to residual
//! blocks; the time embedding and the output always use SiLU.

use crate::layers::GroupNorm;
use crate::unet::config::UNetConfig;
use tch::Tensor;

/// A pointwise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// `x tanh(softplus(x))`.
    Mish,
    /// `x Phi(x)` with the exact normal distribution function Phi, not its tanh approximation.
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// Returns the activation that a validated config names.
    pub fn of(config: &UNetConfig) -> Self {
        match config.act_fn.as_str() {
            "mish" => Self::Mish,
            "gelu" => Self::Gelu,
            "relu" => Self::Relu,
            _ => Self::Silu,
        }
    }

    /// Applies the activation elementwise; any shape and floating-point type.
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Silu => x.silu(),
            Self::Mish => x.mish(),
            Self::Gelu => x.gelu("none"),
            Self::Relu => x.relu(),
        }
    }

    /// Applies the activation to `norm(x + shift)`, with `x` `[B, C, H, W]` and `shift` `[B, C]`. Fuses
    /// norm and activation where the kernels support it.
    pub(crate) fn after_norm(self, norm: &GroupNorm, x: &Tensor, shift: Option<&Tensor>) -> Tensor {
        match self {
            Self::Silu => norm.forward_silu(x, shift),
            _ => self.forward(&norm.forward_shifted(x, shift)),
        }
    }
}
