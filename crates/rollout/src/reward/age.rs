//! How a classifier's logits over age classes become one reward.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How the logits of the wanted age classes become a reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeReward {
    /// The sum of the logits, as in alcazar90/ddpo-celebahq. It is unbounded and moves when all logits
    /// move together, so a policy can raise it without changing the age that the classifier sees.
    #[default]
    Logits,
    /// The sum of the probabilities, from 0 to 1. A policy cannot raise it without changing the
    /// prediction, but it is flat where the classifier is certain.
    Probability,
    /// ln(p / (1 - p)) of that sum, in nats. Adding a constant to all logits changes nothing, and the
    /// slope vanishes nowhere. The form to use.
    LogOdds,
}

/// A name that belongs to no form of the age reward.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected logits, probability or log-odds, found \"{found}\"")]
pub struct UnknownAgeReward {
    /// The name.
    pub found: String,
}

impl AgeReward {
    const ALL: [Self; 3] = [Self::Logits, Self::Probability, Self::LogOdds];

    /// Returns its name in settings.
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
