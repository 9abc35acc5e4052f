//! The element type in which a network computes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The element type in which a network computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE floating point.
    #[default]
    F32,
    /// bfloat16; log-probabilities and optimizer state stay f32.
    Bf16,
}

/// The error for a name other than `f32` and `bf16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected f32 or bf16")]
pub struct UnknownDtype;

impl Dtype {
    /// Returns the name in settings, flags and messages.
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
