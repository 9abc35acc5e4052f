//! A reward without a model: the mean level of the image.

use ddpo_rewards::{RewardDescription, RewardError, RewardModel};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::{Component, Score};

/// Scores an image with its mean level. The component has the name that a run of "jpeg compressibility"
/// expects.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanLevel;

impl RewardModel for MeanLevel {
    fn describe(&self) -> RewardDescription {
        RewardDescription {
            name: "mean level".into(),
            unit: "levels of 255".into(),
            components: vec![RewardSpec::JPEG_COMPONENT.into()],
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let score = |image: &RgbImage| {
            let sum: u64 = image.pixels().iter().map(|&level| u64::from(level)).sum();
            let reward = sum as f32 / image.pixels().len().max(1) as f32;
            let component = Component { name: RewardSpec::JPEG_COMPONENT.into(), value: reward };
            Score { reward, components: vec![component] }
        };
        Ok(images.iter().map(score).collect())
    }
}
