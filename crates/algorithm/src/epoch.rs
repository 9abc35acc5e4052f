//! The data of an epoch, shared by all passes over it.

use crate::pairs::Pair;
use ddpo_rollout::trajectory::{PolicyVersion, Trajectory};

/// Trajectories in sample order, and the values that belong to each.
#[derive(Debug)]
pub struct Epoch<'a> {
    /// The trajectories, sorted by sample.
    pub trajectories: Vec<&'a Trajectory>,
    /// The advantage of each trajectory, standardised and clipped.
    pub advantages: Vec<f32>,
    /// The class of each trajectory's sample; empty for a model without classes.
    pub classes: Vec<u32>,
    /// The number of versions that each trajectory's weights are behind the learner's.
    pub lags: Vec<u64>,
    /// Log-probabilities under the weights before the first optimizer step, mean over dimensions,
    /// by trajectory and random step; the decoupled objective needs them.
    pub proximal_log_probs: Option<Vec<Vec<f32>>>,
    /// The weight of the KL from the pretrained model.
    pub kl_coef: f64,
}

impl<'a> Epoch<'a> {
    /// Creates the data of an epoch that the learner begins at `version`, without proximal
    /// log-probabilities.
    pub fn new(
        trajectories: Vec<&'a Trajectory>,
        advantages: Vec<f32>,
        classes: Vec<u32>,
        version: PolicyVersion,
        kl_coef: f64,
    ) -> Self {
        let lag = |one: &&Trajectory| version.0 - one.header().policy_version.0;
        let lags = trajectories.iter().map(lag).collect();
        Self { trajectories, advantages, classes, lags, proximal_log_probs: None, kl_coef }
    }

    /// Returns the log-probability of `pair` under the old policy of the ratio, mean over
    /// dimensions: the proximal policy if it was evaluated, otherwise the sampling policy.
    pub fn clip_log_prob(&self, pair: &Pair) -> f32 {
        let proximal = self.proximal_log_probs.as_ref();
        proximal.map_or_else(|| self.old_log_prob(pair), |all| all[pair.trajectory][pair.slot])
    }

    /// Returns log p_proximal - log p_old of `pair`, mean over dimensions.
    pub fn drift(&self, pair: &Pair) -> f32 {
        self.clip_log_prob(pair) - self.old_log_prob(pair)
    }

    fn old_log_prob(&self, pair: &Pair) -> f32 {
        self.trajectories[pair.trajectory].log_probs()[pair.slot]
    }
}
