//! The activation that `hidden_act` names (transformers 5.8, `activations.py`).

use tch::Tensor;

use ddpo_diffusion::fields::FieldError;

/// A pointwise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x), exact.
    Gelu,
    /// GELU, approximated with tanh.
    GeluTanh,
    /// x * sigmoid(1.702 x).
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// x * sigmoid(x).
    Silu,
}

impl Activation {
    /// Returns the activation with the transformers name `name`.
    ///
    /// # Errors
    /// [`FieldError::Unsupported`] lists the supported names.
    pub fn parse(name: &str) -> Result<Self, FieldError> {
        match name {
            "gelu" | "gelu_python" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" => {
                Ok(Self::GeluTanh)
            }
            "quick_gelu" => Ok(Self::QuickGelu),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            other => {
                let names = "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, quick_gelu, relu, silu";
                Err(FieldError::unsupported("hidden_act", format!("one of {names}"), other))
            }
        }
    }

    /// Applies the activation in place. The tensor must not share its memory.
    pub fn apply(self, mut x: Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu_("none"),
            Self::GeluTanh => x.gelu_("tanh"),
            // silu(1.702 x) / 1.702 needs three passes and no new memory.
            Self::QuickGelu => x.g_mul_scalar_(1.702).silu_().g_mul_scalar_(1.0 / 1.702),
            Self::Relu => x.relu_(),
            Self::Silu => x.silu_(),
        }
    }
}
