//! Numeric settings of a run. Besides the weights, the bits of a result on a GPU depend on them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The numeric settings of a run, set at the learner and sent to samplers and rewarders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// Whether results on one GPU model are bit-reproducible.
    pub deterministic: bool,
    /// Precision of f32 matrix products and convolutions.
    pub matmul_precision: MatmulPrecision,
}

/// Precision of f32 matrix products and convolutions, with the names of
/// `torch.set_float32_matmul_precision` (PyTorch 2.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// IEEE f32.
    #[default]
    Highest,
    /// TF32 on GPUs: 10 bits of mantissa.
    High,
    /// TF32 on GPUs, bfloat16 on CPUs with bfloat16 instructions.
    Medium,
}

/// The kernel for group norm followed by SiLU on GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormKernel {
    /// libtorch's operators.
    #[default]
    Libtorch,
    /// One kernel for both operations, compiled at the start of the run.
    Fused,
}

impl NormKernel {
    /// Returns whether this is the default, which files omit.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The error for a name other than `highest`, `high` and `medium`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected highest, high or medium")]
pub struct UnknownPrecision;

impl Default for Numerics {
    fn default() -> Self {
        Self { deterministic: true, matmul_precision: MatmulPrecision::Highest }
    }
}

impl Numerics {
    /// Returns whether this is the default, which files omit.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl MatmulPrecision {
    /// All precisions, the highest first.
    pub const ALL: [Self; 3] = [Self::Highest, Self::High, Self::Medium];

    /// Returns the name in settings, flags and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Highest => "highest",
            Self::High => "high",
            Self::Medium => "medium",
        }
    }
}

impl fmt::Display for MatmulPrecision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for MatmulPrecision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or(UnknownPrecision)
    }
}
