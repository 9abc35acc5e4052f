//! The trait of all reward models.

use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::score::{OutOfRange, Score};

use crate::error::RewardError;
use crate::images::{Image, of_map};

/// The name, the unit and the components of a reward model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewardDescription {
    /// Name of the reward, for example the task.
    pub name: String,
    /// Unit of the reward.
    pub unit: String,
    /// Names of the components, in the order of the components in every score.
    pub components: Vec<String>,
}

/// Scores images. The same image has the same score in any batch, at any position.
///
/// To add a reward, implement this trait, then add a [`Task`](ddpo_rollout::reward::Task) and open it in
/// [`open_expression`](crate::open_expression). One thread at a time uses a model, and a call may take
/// any time. The model must be deterministic: resumed runs and services rely on equal scores for equal
/// images. Networks run in passes of one size (see [`passes`](crate::vision::passes)), because matrix
/// products of other shapes round differently.
///
/// ```no_run
/// use ddpo_rewards::{RewardDescription, RewardError, RewardModel};
/// use ddpo_rollout::image::RgbImage;
/// use ddpo_rollout::score::Score;
///
/// /// Rewards dark images.
/// struct Darkness;
///
/// impl RewardModel for Darkness {
///     fn describe(&self) -> RewardDescription {
///         let (name, unit) = ("darkness".to_owned(), "levels of 255".to_owned());
///         RewardDescription { name, unit, components: Vec::new() }
///     }
///
///     fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
///         let darkness = |image: &RgbImage| {
///             let sum: u64 = image.pixels().iter().map(|&level| u64::from(255 - level)).sum();
///             Score::plain(sum as f32 / image.pixels().len() as f32)
///         };
///         Ok(images.iter().map(darkness).collect())
///     }
/// }
/// ```
pub trait RewardModel: Send {
    /// Returns name, unit and components.
    fn describe(&self) -> RewardDescription;

    /// Returns one score for each image, in the same order.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the image that cannot be scored.
    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError>;

    /// Returns the scores of images of states: [`score`](Self::score) of those with
    /// [`PixelMap::Signed`]. Only models that combine or map others implement it.
    ///
    /// # Errors
    /// As [`score`](Self::score), and [`RewardError::NotMapped`].
    fn score_states(&mut self, images: &[Image]) -> Result<Vec<Score>, RewardError> {
        self.score(&of_map(images, PixelMap::Signed)?)
    }
}

/// Checks that every image has one score and that every number is finite and in range.
///
/// # Errors
/// [`RewardError::Count`], or [`RewardError::NotFinite`] or [`RewardError::OutOfRange`], which name the
/// image's index.
pub fn check<T>(images: &[T], scores: &[Score]) -> Result<(), RewardError> {
    if images.len() != scores.len() {
        return Err(RewardError::Count { expected: images.len(), found: scores.len() });
    }
    for (index, score) in scores.iter().enumerate() {
        score.check_range().map_err(|found| match found {
            OutOfRange { name, value } if !value.is_finite() => {
                RewardError::NotFinite { index, name, value }
            }
            found => RewardError::OutOfRange { index, found },
        })?;
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
    fn rejects_missing_scores_and_infinite_numbers() {
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
        let found = check(&images(1), &[Score::plain(-3e12)]).map_err(|error| error.to_string());
        let expected = "image 0: reward: expected a finite number between -1e12 and 1e12, found -3000000000000.0";
        assert_eq!(found, Err(expected.to_owned()));
    }
}
