//! What a learned reward can be told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::error::RewardError;
use crate::own::waiting::Waiting;

/// The classifier of ages where none is named.
pub const AGE_MODEL: &str = "nateraw/vit-age-classifier";

/// The CLIP under the aesthetic head where none is named.
pub const AESTHETIC_MODEL: &str = "openai/clip-vit-large-patch14";

/// The aesthetic head where none is named: on the Hub, as `owner/name/file`.
pub const AESTHETIC_HEAD: &str = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth";

/// How the wanted ages' logits become a reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeReward {
    /// The sum of the logits, as the seed implementation has it. It has no bound and moves when all
    /// logits move together, so a policy can raise it without changing the age that is seen: for
    /// comparison with the seed only.
    #[default]
    Logits,
    /// The sum of the probabilities, 0 to 1. It cannot be raised without changing what is seen, but
    /// is flat where the classifier is sure.
    Probability,
    /// ln(p / (1 - p)) of that sum, in nats: a change of all logits together does nothing, and there
    /// is a slope everywhere. The one to use.
    LogOdds,
}

impl AgeReward {
    const ALL: [Self; 3] = [Self::Logits, Self::Probability, Self::LogOdds];

    /// Its name in settings.
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
    type Err = RewardError;

    fn from_str(name: &str) -> Result<Self, RewardError> {
        let found = Self::ALL.into_iter().find(|reward| reward.name() == name);
        found.ok_or_else(|| RewardError::UnknownAgeReward { found: name.to_owned() })
    }
}

/// Which network scores, and where. The JPEG rewards take the threads and leave the rest; TorchScript
/// files take the device, and reward servers the waiting.
#[derive(Clone, Debug)]
pub struct RewardOptions {
    /// Network: a folder or a name on the Hub; the task's own where none is named.
    pub model: Option<String>,
    /// The aesthetic head: a file, or one on the Hub as `owner/name/file`.
    pub aesthetic_head: Option<String>,
    /// How ages become a reward.
    pub age_reward: AgeReward,
    /// Where the network runs.
    pub device: Device,
    /// The type that it runs in: [`Kind::Float`] or [`Kind::BFloat16`].
    pub kind: Kind,
    /// Threads that encode or prepare pictures; at least one. libtorch's own are set elsewhere.
    pub threads: usize,
    /// What to do while a reward server does not answer.
    pub waiting: Waiting,
}

impl Default for RewardOptions {
    fn default() -> Self {
        Self {
            model: None,
            aesthetic_head: None,
            age_reward: AgeReward::default(),
            device: Device::Cpu,
            kind: Kind::Float,
            threads: 1,
            waiting: Waiting::default(),
        }
    }
}

impl RewardOptions {
    /// The task's own network, in f32 on the CPU, on `threads` threads.
    #[must_use]
    pub fn on_threads(threads: usize) -> Self {
        Self { threads, ..Self::default() }
    }
}
