//! The type that a network runs in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
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

/// A name that belongs to no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected f32 or bf16")]
pub struct UnknownDtype;

impl Dtype {
    /// Returns its name in settings, flags and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::F32, Self::Bf16].into_iter().find(|one| one.name() == text).ok_or(UnknownDtype)
    }
}
