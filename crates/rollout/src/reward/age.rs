//! Conversion of a classifier's logits over age classes to one reward.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The form of the age reward, computed from the logits of the target age classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeReward {
    /// The sum of the target logits, as in alcazar90/ddpo-celebahq. It is unbounded and increases when all
    /// logits increase, so a policy can raise it without changing the predicted age.
    #[default]
    Logits,
    /// The sum p of the target probabilities (softmax of the logits), from 0 to 1. A policy cannot raise
    /// it without changing the prediction, but its gradient vanishes where the classifier is certain.
    /// Probabilities of a classifier with several labels for an image are sigmoids, whose sum may be
    /// above 1.
    Probability,
    /// ln(p / q) of the sum p and the sum q of the other probabilities, in nats; q is 1 - p with softmax. Invariant to a constant added to all logits, and its gradient
    /// vanishes nowhere. Recommended.
    LogOdds,
}

/// The error for an unknown form of the age reward.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected logits, probability or log-odds, found \"{found}\"")]
pub struct UnknownAgeReward {
    /// The name.
    pub found: String,
}

impl AgeReward {
    const ALL: [Self; 3] = [Self::Logits, Self::Probability, Self::LogOdds];

    /// Returns the name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probability => "probability",
            Self::LogOdds => "log-odds",
        }
    }
}

impl fmt::Display for AgeReward {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for AgeReward {
    type Err = UnknownAgeReward;

    fn from_str(name: &str) -> Result<Self, UnknownAgeReward> {
        let found = Self::ALL.into_iter().find(|reward| reward.name() == name);
        found.ok_or_else(|| UnknownAgeReward { found: name.to_owned() })
    }
}
