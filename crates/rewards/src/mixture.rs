//! A weighted sum of rewards.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::Score;

use crate::error::RewardError;
use crate::images::Image;
use crate::model::{RewardDescription, RewardModel};
use crate::part::Part;

/// The sum of weight x reward over its parts. Components: for each part its unweighted reward, named
/// by the part, then its components, named `PART/COMPONENT`.
pub struct Mixture {
    name: String,
    /// Weight and reward of each part.
    parts: Vec<(f64, Part)>,
}

impl Mixture {
    /// Returns the sum of `expression`, with one model for each of its terms.
    pub fn new(expression: &RewardExpression, models: Vec<Box<dyn RewardModel>>) -> Self {
        let parts = expression
            .terms()
            .iter()
            .zip(models)
            .map(|(term, model)| (f64::from(term.weight), Part::new(term.label(), model)));
        Self { name: expression.label(), parts: parts.collect() }
    }

    /// Adds the scores of the parts for `count` images.
    fn sum(
        &mut self,
        count: usize,
        mut scores_of: impl FnMut(&mut Part) -> Result<Vec<Score>, RewardError>,
    ) -> Result<Vec<Score>, RewardError> {
        // f64 in the order of the terms, so that an image's sum does not depend on the batch.
        let mut sums = vec![0.0_f64; count];
        let mut components = vec![Vec::new(); count];
        for (weight, part) in &mut self.parts {
            let scores = scores_of(part)?;
            for ((score, sum), components) in scores.into_iter().zip(&mut sums).zip(&mut components)
            {
                *sum += *weight * f64::from(score.reward);
                components.extend(part.components(score));
            }
        }
        let sums = sums.into_iter().map(|sum| sum as f32).zip(components);
        Ok(sums.map(|(reward, components)| Score { reward, components }).collect())
    }
}

impl RewardModel for Mixture {
    fn describe(&self) -> RewardDescription {
        let components = self.parts.iter().flat_map(|(_, part)| part.names());
        RewardDescription {
            name: self.name.clone(),
            unit: "weighted sum".to_owned(),
            components: components.collect(),
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        self.sum(images.len(), |part| part.score(images))
    }

    fn score_states(&mut self, images: &[Image]) -> Result<Vec<Score>, RewardError> {
        self.sum(images.len(), |part| part.score_states(images))
    }
}
