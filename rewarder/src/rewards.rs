//! A run's reward, and beside it the rewards that only its evaluations are scored with.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::Score;

use crate::error::RewardError;
use crate::learned::RewardOptions;
use crate::model::{RewardDescription, RewardModel, check, reward_for};
use crate::part::Part;
use crate::source::RewardSource;

/// All reward models of a run. The same image has the same score in any batch, at any place.
pub struct Rewards {
    reward: Box<dyn RewardModel>,
    held_out: Vec<Part>,
}

impl Rewards {
    /// Opens the models of `reward` and of those that are held out. What has to be fetched tells
    /// `progress`, a line at a time.
    ///
    /// # Errors
    /// [`RewardError::Source`] before anything is opened; [`RewardError::OneNetwork`] where the
    /// network that the options name would have to serve rewards of different kinds; then as
    /// [`reward_for`].
    pub fn open(
        reward: &RewardExpression,
        held_out: &[RewardExpression],
        options: &RewardOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, RewardError> {
        let mut sources = RewardSource::of(reward)?;
        for expression in held_out {
            sources.extend(RewardSource::of(expression)?);
        }
        RewardSource::share_network(&sources, options)?;
        let model = reward_for(reward, options, progress)?;
        let mut open = |expression: &RewardExpression| {
            let model = reward_for(expression, options, progress)?;
            Ok::<_, RewardError>(Part::new(expression.held_out_name(), model))
        };
        let held_out = held_out.iter().map(&mut open).collect::<Result<_, _>>()?;
        Ok(Self { reward: model, held_out })
    }

    /// One model, and nothing held out.
    #[must_use]
    pub fn alone(reward: Box<dyn RewardModel>) -> Self {
        Self { reward, held_out: Vec::new() }
    }

    /// What the reward says of itself.
    #[must_use]
    pub fn describe(&self) -> RewardDescription {
        self.reward.describe()
    }

    /// One score for each image, in the same order, every number finite. Images of an evaluation
    /// have the rewards that are held out among their components: each by its
    /// [name](RewardExpression::held_out_name), then its own components, named `NAME/COMPONENT`.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the image that cannot be scored.
    pub fn score(
        &mut self,
        images: &[RgbImage],
        purpose: Purpose,
    ) -> Result<Vec<Score>, RewardError> {
        let mut scores = self.reward.score(images)?;
        check(images, &scores)?;
        if purpose != Purpose::Evaluation {
            return Ok(scores);
        }
        for part in &mut self.held_out {
            let found = part.score(images)?;
            for (score, found) in scores.iter_mut().zip(found) {
                score.components.extend(part.components(found));
            }
        }
        Ok(scores)
    }
}
