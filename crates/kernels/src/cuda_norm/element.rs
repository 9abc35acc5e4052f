//! The element types of images for which kernels are compiled.

use tch::Kind;

/// An element type. The numbers are those of `ddpo::ImageType` in `cpp/cuda/driver.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub(crate) enum Element {
    Float = 0,
    Bfloat16 = 1,
}

impl Element {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Float, Self::Bfloat16];

    pub(crate) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Float => Some(Self::Float),
            Kind::BFloat16 => Some(Self::Bfloat16),
            _ => None,
        }
    }

    /// Returns the type's name in the kernel source.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Bfloat16 => "bfloat16",
        }
    }
}
