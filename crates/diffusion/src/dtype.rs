//! libtorch's names for the types that a network runs in.

pub use ddpo_rollout::dtype::{Dtype, UnknownDtype};
use tch::Kind;

/// A type that libtorch has a name for.
pub trait TorchKind {
    /// Returns libtorch's name for it.
    #[must_use]
    fn kind(self) -> Kind;
}

impl TorchKind for Dtype {
    fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}
