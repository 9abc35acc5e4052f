//! What a reward model says of one image.

use serde::{Deserialize, Serialize};

/// A reward with the named parts that it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The reward that the learner maximises; finite.
    pub reward: f32,
    /// Named components, in the reward model's order; the unit is the model's own.
    pub components: Vec<Component>,
}

/// One named part of a [`Score`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Name, stable over a run: it becomes a column and a metric.
    pub name: String,
    /// Value in the reward model's unit.
    pub value: f32,
}

impl Score {
    /// A score with no components.
    pub fn plain(reward: f32) -> Self {
        Self { reward, components: Vec::new() }
    }
}

/// A trajectory with its score: what the learner trains on.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredTrajectory {
    /// The trajectory.
    pub trajectory: crate::trajectory::Trajectory,
    /// What the reward model said of its image.
    pub score: Score,
}
