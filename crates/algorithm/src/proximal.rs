//! The proximal policy of the decoupled objective (Hilton et al. 2021, "Batch size-invariance for
//! policy optimization", section 3): the learner's weights before the first optimizer step of the
//! epoch. Trajectories may come from older weights, so the learner computes their log-probabilities
//! under the proximal policy. With [`OldLogProbs::Learner`](crate::config::OldLogProbs::Learner) it
//! does the same for every objective, for trajectories of the current weights.

use crate::epoch::Epoch;
use crate::pairs::Pair;
use crate::pass::{Lane, over_lanes};
use ddpo_rollout::trajectory::Trajectory;
use tch::TchError;

/// Computes log-probabilities under the proximal policy, mean over dimensions, by trajectory and
/// random step.
///
/// Each pair of `mini_batches` is evaluated once, without gradients, in the micro-batches of the
/// first pass over the epoch, so that their ratios are one up to the device's rounding. Pairs
/// outside `mini_batches`, and pairs for which `wanted` is false, keep the sampler's value.
pub fn proximal_log_probs(
    lanes: &mut [Lane],
    epoch: &Epoch<'_>,
    mini_batches: &[Vec<Pair>],
    micro_batch_size: usize,
    wanted: impl Fn(&Pair) -> bool,
) -> Result<Vec<Vec<f32>>, TchError> {
    let trajectories = &epoch.trajectories;
    let recorded = |trajectory: &&Trajectory| trajectory.log_probs().to_vec();
    let mut values: Vec<Vec<f32>> = trajectories.iter().map(recorded).collect();
    let mut known: Vec<Vec<bool>> = values.iter().map(|all| vec![false; all.len()]).collect();
    for mini_batch in mini_batches {
        let unknown = |pair: &&Pair| wanted(pair) && !known[pair.trajectory][pair.slot];
        let pairs: Vec<Pair> = mini_batch.iter().filter(unknown).copied().collect();
        for chunk in pairs.chunks(micro_batch_size) {
            let found = over_lanes(lanes, chunk, |lane, part| lane.log_probs(epoch, part))?;
            for (pair, value) in chunk.iter().zip(found.into_iter().flatten()) {
                values[pair.trajectory][pair.slot] = value;
                known[pair.trajectory][pair.slot] = true;
            }
        }
    }
    Ok(values)
}
