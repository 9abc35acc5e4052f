//! A reward model with its pixel map.

use crate::error::RewardError;
use crate::images::{Image, of_map};
use crate::model::{RewardDescription, RewardModel};
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::score::Score;

/// A model that sees states through `map`.
pub struct Mapped {
    /// The map.
    pub map: PixelMap,
    /// The model.
    pub model: Box<dyn RewardModel>,
}

impl RewardModel for Mapped {
    fn describe(&self) -> RewardDescription {
        self.model.describe()
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        self.model.score(images)
    }

    fn score_states(&mut self, images: &[Image]) -> Result<Vec<Score>, RewardError> {
        self.model.score(&of_map(images, self.map)?)
    }
}
