//! (sample, step) pairs: the transitions that each mini-batch trains on.

use crate::config::LearnerConfig;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::Trajectory;

/// One transition of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Position of the trajectory in the epoch's batch.
    pub trajectory: usize,
    /// Position in the trajectory's list of random steps.
    pub random: usize,
    /// Step index, from 0 at x_T.
    pub step: usize,
}

/// Chooses the steps that one pass over the epoch trains.
#[derive(Clone, Copy, Debug)]
pub struct StepChoice {
    /// Seed of the run.
    pub run_seed: u64,
    /// Epoch.
    pub epoch: u32,
    /// Pass over the epoch, from 0.
    pub inner_epoch: u32,
    /// Share of the random steps that are trained, in (0, 1].
    pub timestep_fraction: f64,
}

/// Returns the pairs of every mini-batch of an epoch, in the order of training:
/// `num_inner_epochs` passes over the samples, `batch_size` samples in a mini-batch.
///
/// `trajectories` are the epoch's, at least one and a multiple of `batch_size`.
pub fn mini_batches(trajectories: &[&Trajectory], config: &LearnerConfig) -> Vec<Vec<Pair>> {
    let pass = |inner_epoch: usize| {
        let choice = StepChoice {
            run_seed: config.run_seed,
            epoch: trajectories[0].header().coordinates.epoch,
            inner_epoch: inner_epoch as u32,
            timestep_fraction: config.timestep_fraction,
        };
        let batches = trajectories.chunks(config.batch_size).enumerate();
        batches.map(move |(index, batch)| pairs(batch, index * config.batch_size, choice))
    };
    (0..config.num_inner_epochs).flat_map(pass).collect()
}

/// Returns the chosen pairs of `trajectories`, whose first has position `first` in the epoch,
/// sorted by step so that neighbours share a timestep.
pub fn pairs(trajectories: &[&Trajectory], first: usize, choice: StepChoice) -> Vec<Pair> {
    let chosen = trajectories.iter().enumerate().flat_map(|(offset, trajectory)| {
        let header = trajectory.header();
        let picked = chosen_steps(trajectory, choice);
        picked.into_iter().map(move |random| Pair {
            trajectory: first + offset,
            random,
            step: header.random_steps[random],
        })
    });
    let mut pairs: Vec<Pair> = chosen.collect();
    pairs.sort_by_key(|pair| (pair.step, pair.trajectory));
    pairs
}

/// Returns positions in the list of random steps, ascending: all of them, or the share with the
/// lowest keyed draws.
fn chosen_steps(trajectory: &Trajectory, choice: StepChoice) -> Vec<usize> {
    let count = trajectory.header().random_steps.len();
    let kept = (count as f64 * choice.timestep_fraction).ceil() as usize;
    let kept = kept.clamp(1.min(count), count);
    if kept == count {
        return (0..count).collect();
    }
    let mut draws = vec![0.0; count];
    let key = NoiseKey {
        seed: choice.run_seed,
        purpose: Purpose::StepChoice,
        epoch: choice.epoch,
        sample: trajectory.header().coordinates.sample,
        step: choice.inner_epoch,
    };
    key.fill_uniform(&mut draws);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| draws[a].total_cmp(&draws[b]).then(a.cmp(&b)));
    order.truncate(kept);
    order.sort_unstable();
    order
}
