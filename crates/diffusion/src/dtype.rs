//! The type that a network runs in.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use tch::Kind;
use thiserror::Error;

/// The type that a network runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE floating point.
    #[default]
    F32,
    /// bfloat16; log-probabilities and the optimizer stay f32.
    Bf16,
}

/// A name that no type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected f32 or bf16")]
pub struct UnknownDtype;

impl Dtype {
    /// Its name in settings, flags and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// libtorch's name for it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::F32, Self::Bf16].into_iter().find(|one| one.name() == text).ok_or(UnknownDtype)
    }
}
