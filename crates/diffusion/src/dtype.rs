//! The element types in which a network computes, as libtorch's `Kind`.

pub use ddpo_rollout::dtype::{Dtype, UnknownDtype};
use tch::Kind;

/// Conversion of an element type to libtorch's [`Kind`].
pub trait TorchKind {
    /// Returns libtorch's equivalent: `F32` is `Kind::Float`, `Bf16` is `Kind::BFloat16`.
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
