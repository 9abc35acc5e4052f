//! The settings of the forward objective.

use serde::{Deserialize, Serialize};

/// The weighting of the forward objective; [`crate::forward`] has the equations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardWeighting {
    /// DiffusionNFT: moves predictions towards samples with a high reward and away from the others.
    #[default]
    Nft,
    /// AWM: PPO's clipped ratio of denoising errors.
    Advantage,
}

/// The timesteps that the noise levels of the forward objective are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelSource {
    /// The timesteps that the sampler visits.
    #[default]
    Sampler,
    /// All timesteps of the schedule.
    All,
}

/// How the loss of a noise level is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelWeight {
    /// The squared error in the model's prediction type.
    #[default]
    Uniform,
    /// The squared error divided by the mean absolute error of the same sample.
    Adaptive,
}

/// The old policy of the forward objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldPolicy {
    /// The weights before the first optimizer step of the epoch.
    #[default]
    Sampler,
    /// The averaged weights (`ema_decay`) before the first optimizer step of the epoch.
    Average,
}

/// The settings of the forward objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForwardConfig {
    /// The weighting.
    pub weighting: ForwardWeighting,
    /// K, the number of noise levels that a pass trains for each sample.
    pub levels: usize,
    /// The timesteps that levels are drawn from.
    pub level_source: LevelSource,
    /// Largest timestep of a level; `None` for no limit.
    pub max_timestep: Option<i64>,
    /// How the loss of a level is scaled.
    pub level_weight: LevelWeight,
    /// beta of DiffusionNFT, in (0, 1]: how far the two implicit policies are from the old one; smaller
    /// learns faster and is less stable.
    pub beta: f64,
    /// The old policy.
    pub old: OldPolicy,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            weighting: ForwardWeighting::default(),
            levels: 4,
            level_source: LevelSource::default(),
            max_timestep: None,
            level_weight: LevelWeight::default(),
            beta: 1.0,
            old: OldPolicy::default(),
        }
    }
}
