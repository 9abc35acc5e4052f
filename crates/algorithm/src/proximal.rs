//! The proximal policy of the decoupled objective (Hilton et al. 2021, "Batch size-invariance for
//! policy optimization", section 3): the learner's weights before the epoch's first update. Its
//! log-probabilities are taken anew, for trajectories may come from older weights.

use crate::pairs::Pair;
use crate::pass::{Lane, side_by_side};
use ddpo_rollout::trajectory::Trajectory;
use tch::TchError;

/// Log-probabilities under the proximal policy, mean over dimensions.
pub struct Proximal {
    /// By trajectory and random step.
    values: Vec<Vec<f32>>,
}

impl Proximal {
    /// Runs every pair of `batches` once, without gradients. The first pass over the epoch cuts its
    /// micro-batches the same way, so that its ratios are one up to nothing but the device's own
    /// noise.
    pub fn compute(
        lanes: &mut [Lane],
        trajectories: &[&Trajectory],
        batches: impl Iterator<Item = Vec<Pair>>,
        micro_batch_size: usize,
    ) -> Result<Self, TchError> {
        let recorded = |trajectory: &&Trajectory| trajectory.log_probs().to_vec();
        let mut values: Vec<Vec<f32>> = trajectories.iter().map(recorded).collect();
        let mut known: Vec<Vec<bool>> = values.iter().map(|all| vec![false; all.len()]).collect();
        for mut pairs in batches {
            pairs.retain(|pair| !known[pair.trajectory][pair.random]);
            for chunk in pairs.chunks(micro_batch_size) {
                let found =
                    side_by_side(lanes, chunk, |lane, part| lane.log_probs(trajectories, part))?;
                for (pair, value) in chunk.iter().zip(found.into_iter().flatten()) {
                    values[pair.trajectory][pair.random] = value;
                    known[pair.trajectory][pair.random] = true;
                }
            }
        }
        Ok(Self { values })
    }

    /// The log-probability of one pair.
    pub fn of(&self, pair: &Pair) -> f32 {
        self.values[pair.trajectory][pair.random]
    }
}
