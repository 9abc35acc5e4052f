//! The settings of a run that decide what its images score.

use crate::dtype::Dtype;
use crate::image::PixelMap;
use crate::numerics::Numerics;
use crate::reward::age::AgeReward;
use crate::reward::expression::RewardExpression;
use crate::reward::source::RewardSource;

/// The reward as a run's settings have it: names of models, not yet their content. Resolving them
/// gives a [`RewardSpec`](crate::reward::RewardSpec).
#[derive(Clone, Debug, PartialEq)]
pub struct RewardSettings {
    /// The reward that the run maximises.
    pub reward: RewardExpression,
    /// Rewards that only the images of evaluations are scored with.
    pub held_out: Vec<RewardExpression>,
    /// The map from states to 8-bit images.
    pub pixel_map: PixelMap,
    /// The form of the age rewards.
    pub age_reward: AgeReward,
    /// The network of the age rewards or of the aesthetic score: a folder or a name on the Hub. Each
    /// reward has a default.
    pub model: Option<String>,
    /// The head of the aesthetic score: a file, or one on the Hub as `owner/name/file`.
    pub aesthetic_head: Option<String>,
    /// The type that networks run in.
    pub dtype: Dtype,
    /// Their arithmetic.
    pub numerics: Numerics,
}

impl RewardSettings {
    /// Makes the settings of a reward with the defaults of everything else.
    pub fn new(reward: impl Into<RewardExpression>) -> Self {
        Self {
            reward: reward.into(),
            held_out: Vec::new(),
            pixel_map: PixelMap::default(),
            age_reward: AgeReward::default(),
            model: None,
            aesthetic_head: None,
            dtype: Dtype::default(),
            numerics: Numerics::default(),
        }
    }

    /// Iterates over the sources of all rewards, those that are held out included.
    pub fn sources(&self) -> impl Iterator<Item = &RewardSource> {
        let expressions = std::iter::once(&self.reward).chain(&self.held_out);
        expressions.flat_map(RewardExpression::terms).map(|term| &term.source)
    }
}
