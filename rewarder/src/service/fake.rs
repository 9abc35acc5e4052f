//! A reward without a model: the image's mean level. For tests of the whole way under load.

use crate::error::RewardError;
use crate::model::{RewardDescription, RewardModel};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::Score;

/// The stand-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanLevel;

impl RewardModel for MeanLevel {
    fn describe(&self) -> RewardDescription {
        RewardDescription {
            name: "mean level".into(),
            unit: "levels of 255".into(),
            components: Vec::new(),
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let mean = |image: &RgbImage| {
            let sum: u64 = image.pixels().iter().map(|&level| u64::from(level)).sum();
            Score::plain(sum as f32 / image.pixels().len().max(1) as f32)
        };
        Ok(images.iter().map(mean).collect())
    }
}
