//! The reward of a run, and the held-out rewards of its evaluations.

use crate::error::RewardError;
use crate::images::Image;
use crate::model::{RewardDescription, RewardModel, check};
use crate::open::open_expression;
use crate::part::Part;
use crate::runtime::RewardRuntime;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::{RewardExpression, RewardSpec};
use ddpo_rollout::score::Score;

/// All reward models of a run. Equal images have equal scores in any batch and any process.
pub struct Rewards {
    reward: Box<dyn RewardModel>,
    held_out: Vec<Part>,
    pixel_maps: Vec<PixelMap>,
}

impl Rewards {
    /// Opens all models of a specification. Reports downloads to `progress`, line by line.
    ///
    /// # Errors
    /// As [`open_expression`].
    pub fn open(
        spec: &RewardSpec,
        runtime: &RewardRuntime,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, RewardError> {
        let reward = open_expression(spec, &spec.reward, runtime, progress)?;
        let mut open = |expression: &RewardExpression| {
            let model = open_expression(spec, expression, runtime, progress)?;
            Ok::<_, RewardError>(Part::new(expression.held_out_name(), model))
        };
        let held_out = spec.held_out.iter().map(&mut open).collect::<Result<_, _>>()?;
        Ok(Self { reward, held_out, pixel_maps: spec.pixel_maps() })
    }

    /// Uses one model with [`PixelMap::Signed`], without held-out rewards.
    pub fn alone(reward: Box<dyn RewardModel>) -> Self {
        Self { reward, held_out: Vec::new(), pixel_maps: vec![PixelMap::Signed] }
    }

    /// Returns the maps that [images of states](Image::of_state) must have.
    pub fn pixel_maps(&self) -> &[PixelMap] {
        &self.pixel_maps
    }

    /// Returns name, unit and components of the reward.
    pub fn describe(&self) -> RewardDescription {
        self.reward.describe()
    }

    /// Returns one score for each image, in the same order, with finite numbers. The scores of an
    /// evaluation contain the held-out rewards as components: each under its
    /// [name](RewardExpression::held_out_name), then its components, named `NAME/COMPONENT`.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the image that cannot be scored.
    pub fn score(&mut self, images: &[Image], purpose: Purpose) -> Result<Vec<Score>, RewardError> {
        let mut scores = self.reward.score_states(images)?;
        check(images, &scores)?;
        if purpose != Purpose::Evaluation {
            return Ok(scores);
        }
        for part in &mut self.held_out {
            let found = part.score_states(images)?;
            for (score, found) in scores.iter_mut().zip(found) {
                score.components.extend(part.components(found));
            }
        }
        Ok(scores)
    }
}
