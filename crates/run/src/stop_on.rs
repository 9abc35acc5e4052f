//! The names of what ends a run.

use serde::{Deserialize, Serialize};

/// What ends a run before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopOn {
    /// The samples of an evaluation keep too little of the diversity.
    Collapse,
    /// The divergence from the pretrained model is too large.
    Kl,
    /// The evaluations do not improve.
    Plateau,
}
