//! The score of a reward model for one image.

use serde::{Deserialize, Serialize};

/// A reward and its named components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The reward that the learner maximises; finite.
    pub reward: f32,
    /// Named components in the reward model's order and unit.
    pub components: Vec<Component>,
}

/// One named component of a [`Score`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Name, constant in a run: the name of a column and of a metric.
    pub name: String,
    /// Value in the reward model's unit.
    pub value: f32,
}

impl Score {
    /// Creates a score without components.
    pub fn plain(reward: f32) -> Self {
        Self { reward, components: Vec::new() }
    }
}

/// A trajectory and its score, the input of training.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredTrajectory {
    /// The trajectory.
    pub trajectory: crate::trajectory::Trajectory,
    /// The score of its image.
    pub score: Score,
}
