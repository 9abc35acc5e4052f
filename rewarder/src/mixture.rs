//! A weighted sum of rewards.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::{Component, Score};

use crate::error::RewardError;
use crate::model::{RewardDescription, RewardModel, check};

/// Rewards the sum of weight x reward over its parts. Components: for each part its own reward,
/// named by the part and not weighted, then its components, named `PART/COMPONENT`.
pub struct Mixture {
    name: String,
    parts: Vec<Part>,
}

struct Part {
    label: String,
    weight: f64,
    model: Box<dyn RewardModel>,
}

impl Mixture {
    /// The sum that `expression` writes, of one model for each of its terms.
    #[must_use]
    pub fn new(expression: &RewardExpression, models: Vec<Box<dyn RewardModel>>) -> Self {
        let parts = expression.terms().iter().zip(models).map(|(term, model)| Part {
            label: term.label(),
            weight: f64::from(term.weight),
            model,
        });
        Self { name: expression.label(), parts: parts.collect() }
    }
}

impl Part {
    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let scored = self.model.score(images).and_then(|scores| {
            check(images, &scores)?;
            Ok(scores)
        });
        scored.map_err(|error| RewardError::Part { label: self.label.clone(), error: error.into() })
    }
}

/// A component of a part, by a name that no other part's has.
#[must_use]
pub fn inner_name(label: &str, component: &str) -> String {
    format!("{label}/{component}")
}

impl RewardModel for Mixture {
    fn describe(&self) -> RewardDescription {
        let components = self.parts.iter().flat_map(|part| {
            let inner = part.model.describe().components;
            let inner = inner.into_iter().map(|name| inner_name(&part.label, &name));
            std::iter::once(part.label.clone()).chain(inner).collect::<Vec<_>>()
        });
        RewardDescription {
            name: self.name.clone(),
            unit: "weighted sum".to_owned(),
            components: components.collect(),
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        // In f64, in the order of the terms, so that the sum of an image is the same in any batch.
        let mut sums = vec![0.0_f64; images.len()];
        let mut components = vec![Vec::new(); images.len()];
        for part in &mut self.parts {
            let scores = part.score(images)?;
            for ((score, sum), components) in scores.into_iter().zip(&mut sums).zip(&mut components)
            {
                *sum += part.weight * f64::from(score.reward);
                components.push(Component { name: part.label.clone(), value: score.reward });
                components.extend(score.components.into_iter().map(|inner| Component {
                    name: inner_name(&part.label, &inner.name),
                    value: inner.value,
                }));
            }
        }
        let sums = sums.into_iter().map(|sum| sum as f32).zip(components);
        Ok(sums.map(|(reward, components)| Score { reward, components }).collect())
    }
}
