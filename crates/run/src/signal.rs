//! Epochs that cannot teach anything: a constant reward, a zero gradient, equal or saturated samples.
//!
//! Nothing fails in such an epoch, and its numbers look quiet, so the run names it once when it begins.

use crate::pictures::image;
use ddpo_algorithm::report::UpdateReport;
use ddpo_rollout::image::{ImageError, PixelMap};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::StateShape;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The share of pixel levels at 0 or 255 from which samples count as saturated.
const SATURATED: f64 = 0.99;

/// What the images of an epoch's samples look like, in 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleSpread {
    /// Number of different images among the samples. Absent in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_samples: Option<u64>,
    /// Share of the samples' pixel levels at 0 or 255. Absent in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_fraction: Option<f64>,
}

impl SampleSpread {
    /// Compares the images of the samples, with the usual map of pixels.
    ///
    /// # Errors
    /// [`ImageError`] if a state is not an image.
    pub fn of(scored: &[ScoredTrajectory], shape: StateShape) -> Result<Self, ImageError> {
        let mut seen = HashSet::new();
        let (mut extreme, mut levels) = (0, 0);
        for one in scored {
            let image = image(&one.trajectory, shape, PixelMap::Signed)?;
            let pixels = image.pixels();
            extreme += pixels.iter().filter(|&&level| level == 0 || level == u8::MAX).count();
            levels += pixels.len();
            let mut hasher = DefaultHasher::new();
            pixels.hash(&mut hasher);
            seen.insert(hasher.finish());
        }
        Ok(Self {
            distinct_samples: Some(seen.len() as u64),
            saturated_fraction: Some(extreme as f64 / levels.max(1) as f64),
        })
    }
}

/// Why an epoch cannot teach anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoSignal {
    /// All samples have the same reward.
    ConstantReward,
    /// The gradient of every optimizer step is zero.
    ZeroGradient,
    /// All samples are the same image.
    EqualSamples,
    /// Nearly all pixels are black or at full intensity.
    SaturatedSamples,
}

impl NoSignal {
    /// All causes.
    pub const ALL: [Self; 4] =
        [Self::ConstantReward, Self::ZeroGradient, Self::EqualSamples, Self::SaturatedSamples];

    /// Returns the name in `metrics.jsonl` and in the label of the services' metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConstantReward => "constant_reward",
            Self::ZeroGradient => "zero_gradient",
            Self::EqualSamples => "equal_samples",
            Self::SaturatedSamples => "saturated_samples",
        }
    }

    /// Returns the causes that apply to an epoch.
    #[must_use]
    pub fn of(rewards: &[f32], update: &UpdateReport, spread: &SampleSpread) -> Vec<Self> {
        let applies = |cause: &Self| match cause {
            Self::ConstantReward => rewards.windows(2).all(|pair| pair[0] == pair[1]),
            Self::ZeroGradient => update.grad_norm == 0.0,
            Self::EqualSamples => spread.distinct_samples == Some(1),
            Self::SaturatedSamples => {
                spread.saturated_fraction.is_some_and(|share| share >= SATURATED)
            }
        };
        Self::ALL.into_iter().filter(applies).collect()
    }
}
