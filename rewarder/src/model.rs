//! The port that every reward model fills, and the way from a task to its model.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::Score;

use crate::error::RewardError;
use crate::jpeg::JpegReward;
use crate::learned::{AestheticReward, AgeRewardModel, AgeSide, RewardOptions};
use crate::task::Task;

/// What a reward model says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewardDescription {
    /// Name, as the task's.
    pub name: String,
    /// Unit of the reward.
    pub unit: String,
    /// Names of the components, in the order of every score's.
    pub components: Vec<String>,
}

/// Scores images. The same image has the same score in any batch, at any place.
pub trait RewardModel: Send {
    /// Name, unit and components.
    fn describe(&self) -> RewardDescription;

    /// One score for each image, in the same order; none for none.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the image that cannot be scored.
    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError>;
}

/// The reward model of a task. What has to be fetched tells `progress`, a line at a time.
///
/// # Errors
/// [`RewardError::Vision`] for a network that cannot be found or used, [`RewardError::Encoder`]
/// if libjpeg-turbo cannot be set up.
pub fn reward_for(
    task: Task,
    options: &RewardOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    let threads = options.threads;
    Ok(match task {
        Task::JpegCompressibility => Box::new(JpegReward::compressibility(threads)?),
        Task::JpegIncompressibility => Box::new(JpegReward::incompressibility(threads)?),
        Task::AestheticScore => Box::new(AestheticReward::open(options, progress)?),
        Task::Under30 => {
            Box::new(AgeRewardModel::open(task, AgeSide::Below(30), options, progress)?)
        }
        Task::Over50 => Box::new(AgeRewardModel::open(task, AgeSide::From(50), options, progress)?),
    })
}

/// Checks what a model gave: one score for each image, every number finite.
///
/// # Errors
/// [`RewardError::Count`] or [`RewardError::NotFinite`], which names the image's index.
pub fn check(images: &[RgbImage], scores: &[Score]) -> Result<(), RewardError> {
    if images.len() != scores.len() {
        return Err(RewardError::Count { expected: images.len(), found: scores.len() });
    }
    for (index, score) in scores.iter().enumerate() {
        let components = score.components.iter().map(|part| (part.name.as_str(), part.value));
        for (name, value) in std::iter::once(("reward", score.reward)).chain(components) {
            if !value.is_finite() {
                return Err(RewardError::NotFinite { index, name: name.to_owned(), value });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ddpo_rollout::score::Component;

    use super::*;

    fn images(count: usize) -> Vec<RgbImage> {
        RgbImage::new(1, 1, vec![0; 3]).into_iter().cycle().take(count).collect()
    }

    #[test]
    fn a_missing_score_and_a_number_that_is_none_are_found() {
        let good = Score::plain(1.0);
        assert!(check(&images(2), &[good.clone(), good.clone()]).is_ok());
        let found = check(&images(2), std::slice::from_ref(&good));
        assert!(matches!(found, Err(RewardError::Count { expected: 2, found: 1 })));
        let found = check(&images(2), &[good.clone(), Score::plain(f32::NAN)]);
        assert!(matches!(found, Err(RewardError::NotFinite { index: 1, .. })));
        let part = Component { name: "part".to_owned(), value: f32::INFINITY };
        let found = check(&images(1), &[Score { reward: 1.0, components: vec![part] }]);
        let text = found.map_err(|error| error.to_string());
        assert_eq!(text, Err("image 0: expected a finite part, found inf".to_owned()));
    }
}
