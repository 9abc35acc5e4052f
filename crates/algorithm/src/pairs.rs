//! Which (sample, step) pairs a mini-batch trains on, and how they are cut into micro-batches.

use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::{Trajectory, decode};
use tch::{Device, Tensor};

/// One transition of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Position of the trajectory in the epoch's batch.
    pub trajectory: usize,
    /// Position in the trajectory's list of random steps.
    pub random: usize,
    /// Step index.
    pub step: usize,
}

/// Chooses the steps that a pass trains.
#[derive(Clone, Copy, Debug)]
pub struct StepChoice {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch.
    pub epoch: u32,
    /// Pass over the epoch, from 0.
    pub inner_epoch: u32,
    /// Share of the random steps that are trained, in (0, 1].
    pub fraction: f64,
}

/// The pairs of the trajectories at `positions`, step by step so that neighbours share a step.
#[must_use]
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

/// Positions in the list of random steps, ascending: all, or those with the lowest keyed draws.
fn chosen_steps(trajectory: &Trajectory, choice: StepChoice) -> Vec<usize> {
    let count = trajectory.header().random_steps.len();
    let kept = ((count as f64 * choice.fraction).ceil() as usize).clamp(1.min(count), count);
    if kept == count {
        return (0..count).collect();
    }
    let mut draws = vec![0.0; count];
    let key = NoiseKey {
        seed: choice.seed,
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

/// The tensors of a micro-batch of P pairs.
#[derive(Debug)]
pub struct MicroBatch {
    /// x_t, f32 `[P, C, H, W]`.
    pub state: Tensor,
    /// x_{t-1}, f32 `[P, C, H, W]`.
    pub next: Tensor,
    /// Log-probabilities under the sampling weights, mean over dimensions, f32 `[P]`.
    pub old_log_prob: Tensor,
    /// Step indices.
    pub steps: Vec<usize>,
}

impl MicroBatch {
    /// Decodes the states of `pairs` onto `device`.
    #[must_use]
    pub fn new(trajectories: &[&Trajectory], pairs: &[Pair], device: Device) -> Self {
        let gather = |offset: usize| {
            let states = pairs.iter().flat_map(|pair| {
                let trajectory = trajectories[pair.trajectory];
                decode(&trajectory.states()[pair.step + offset], trajectory.header().dtype)
            });
            let values: Vec<f32> = states.collect();
            let shape = trajectories[pairs[0].trajectory].header().shape;
            let size = [pairs.len(), shape.channels, shape.height, shape.width].map(|n| n as i64);
            Tensor::from_slice(&values).view(size).to_device(device)
        };
        let log_prob = |pair: &Pair| trajectories[pair.trajectory].log_probs()[pair.random];
        let old: Vec<f32> = pairs.iter().map(log_prob).collect();
        Self {
            state: gather(0),
            next: gather(1),
            old_log_prob: Tensor::from_slice(&old).to_device(device),
            steps: pairs.iter().map(|pair| pair.step).collect(),
        }
    }
}
