//! The port that every reward model fills, and the way from an expression to its model.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::Score;

use crate::error::RewardError;
use crate::learned::RewardOptions;
use crate::mixture::Mixture;
use crate::source::RewardSource;

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
///
/// To add a reward, implement this, then give it a [`Task`](crate::Task), or a way of writing it in
/// [`RewardSource`]. It lives on one thread at a time, and may take as long as it needs.
/// Randomness and what else changes from call to call has no place in it: a run is repeated, resumed
/// and taken apart into services by its scores. A network goes through in passes of one size (see
/// [`passes`](crate::vision::passes)), for products of other shapes round differently.
///
/// ```no_run
/// use ddpo_rewarder::{RewardDescription, RewardError, RewardModel};
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
    /// Name, unit and components.
    fn describe(&self) -> RewardDescription;

    /// One score for each image, in the same order; none for none.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the image that cannot be scored.
    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError>;
}

/// The reward model of an expression. What has to be fetched tells `progress`, a line at a time.
/// One reward as it is is that reward's own model; anything else is a [`Mixture`].
///
/// # Errors
/// [`RewardError::Source`] before anything is opened; then [`RewardError`] of what cannot be found,
/// read or reached.
pub fn reward_for(
    expression: &RewardExpression,
    options: &RewardOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    let sources = RewardSource::of(expression)?;
    let opened = sources.iter().map(|source| source.open(options, progress));
    let mut models = opened.collect::<Result<Vec<_>, _>>()?;
    match (expression.plain(), models.pop()) {
        (Some(_), Some(model)) => Ok(model),
        (_, last) => {
            models.extend(last);
            Ok(Box::new(Mixture::new(expression, models)))
        }
    }
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
