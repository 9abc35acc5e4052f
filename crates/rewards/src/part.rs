//! One of several rewards: its score becomes components of the total score.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::{Component, Score};

use crate::error::RewardError;
use crate::images::Image;
use crate::model::{RewardModel, check};

/// A reward and its name, which is unique within a score.
pub struct Part {
    label: String,
    model: Box<dyn RewardModel>,
}

impl Part {
    /// Names `model` as `label`.
    pub fn new(label: String, model: Box<dyn RewardModel>) -> Self {
        Self { label, model }
    }

    /// Returns one score for each image, every number finite.
    ///
    /// # Errors
    /// [`RewardError::Part`] names this reward.
    pub fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let scored = self.model.score(images);
        self.checked(images, scored)
    }

    /// Returns one score for each image of a state, every number finite.
    ///
    /// # Errors
    /// [`RewardError::Part`] names this reward.
    pub fn score_states(&mut self, images: &[Image]) -> Result<Vec<Score>, RewardError> {
        let scored = self.model.score_states(images);
        self.checked(images, scored)
    }

    fn checked<T>(
        &self,
        images: &[T],
        scored: Result<Vec<Score>, RewardError>,
    ) -> Result<Vec<Score>, RewardError> {
        let scored = scored.and_then(|scores| {
            check(images, &scores)?;
            Ok(scores)
        });
        scored.map_err(|error| RewardError::Part { label: self.label.clone(), error: error.into() })
    }

    /// Converts a score of this reward to components: the reward under its label, then its components,
    /// named `LABEL/COMPONENT`.
    pub fn components(&self, score: Score) -> Vec<Component> {
        let inner = score
            .components
            .into_iter()
            .map(|inner| Component { name: self.inner_name(&inner.name), value: inner.value });
        let own = Component { name: self.label.clone(), value: score.reward };
        std::iter::once(own).chain(inner).collect()
    }

    /// Returns the names of [`components`](Self::components) that the model knows in advance.
    pub fn names(&self) -> Vec<String> {
        let inner = self.model.describe().components;
        let inner = inner.iter().map(|name| self.inner_name(name));
        std::iter::once(self.label.clone()).chain(inner).collect()
    }

    fn inner_name(&self, component: &str) -> String {
        format!("{}/{component}", self.label)
    }
}
