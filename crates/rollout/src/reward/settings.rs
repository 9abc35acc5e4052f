//! The settings of a run that determine the scores of its images.

use crate::dtype::Dtype;
use crate::numerics::Numerics;
use crate::reward::age::AgeReward;
use crate::reward::age_classes::AgeClasses;
use crate::reward::expression::RewardExpression;
use crate::reward::pixels::PixelRule;
use crate::reward::source::RewardSource;

/// The reward in a run's settings: names of models, without their content. Resolving the names gives a
/// [`RewardSpec`](crate::reward::RewardSpec).
#[derive(Clone, Debug, PartialEq)]
pub struct RewardSettings {
    /// The reward that the run maximises.
    pub reward: RewardExpression,
    /// Rewards that score only the images of evaluations.
    pub held_out: Vec<RewardExpression>,
    /// The rule that maps states to 8-bit images.
    pub pixel_map: PixelRule,
    /// The form of the age rewards.
    pub age_reward: AgeReward,
    /// The ages of the classifier's labels that do not state them.
    pub age_classes: AgeClasses,
    /// The network of the age rewards or of the aesthetic score: a folder, or a repository on the Hub.
    /// Each reward has a default.
    pub model: Option<String>,
    /// The head of the aesthetic score: a file, or a file on the Hub as `owner/name/file`.
    pub aesthetic_head: Option<String>,
    /// The type in which networks compute.
    pub dtype: Dtype,
    /// The numeric settings of networks.
    pub numerics: Numerics,
}

impl RewardSettings {
    /// Creates the settings of a reward with defaults for all other fields.
    pub fn new(reward: impl Into<RewardExpression>) -> Self {
        Self {
            reward: reward.into(),
            held_out: Vec::new(),
            pixel_map: PixelRule::default(),
            age_reward: AgeReward::default(),
            age_classes: AgeClasses::default(),
            model: None,
            aesthetic_head: None,
            dtype: Dtype::default(),
            numerics: Numerics::default(),
        }
    }

    /// Iterates over the sources of all rewards, including held-out rewards.
    pub fn sources(&self) -> impl Iterator<Item = &RewardSource> {
        let expressions = std::iter::once(&self.reward).chain(&self.held_out);
        expressions.flat_map(RewardExpression::terms).map(|term| &term.source)
    }
}
