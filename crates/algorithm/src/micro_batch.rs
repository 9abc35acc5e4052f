//! The tensors of a micro-batch.

use crate::pairs::Pair;
use ddpo_diffusion::transfer::upload;
use ddpo_rollout::trajectory::{Trajectory, decode};
use tch::{Device, Tensor};

/// The transitions of P pairs, as one batch for the network.
#[derive(Debug)]
pub struct MicroBatch {
    /// x_t, f32 `[P, C, H, W]`.
    pub state: Tensor,
    /// x_{t-1}, f32 `[P, C, H, W]`.
    pub next: Tensor,
    /// Log-probabilities under the sampling policy, mean over dimensions, f32 `[P]`.
    pub old_log_prob: Tensor,
    /// Step indices, P of them.
    pub steps: Vec<usize>,
}

impl MicroBatch {
    /// Decodes the states of `pairs`, at least one, onto `device`.
    pub fn new(trajectories: &[&Trajectory], pairs: &[Pair], device: Device) -> Self {
        let gather = |offset: usize| {
            let states = pairs.iter().flat_map(|pair| {
                let trajectory = trajectories[pair.trajectory];
                decode(&trajectory.states()[pair.step + offset], trajectory.header().dtype)
            });
            let values: Vec<f32> = states.collect();
            let shape = trajectories[pairs[0].trajectory].header().shape;
            let size = [pairs.len(), shape.channels, shape.height, shape.width].map(|n| n as i64);
            upload(&values, &size, device)
        };
        let log_prob = |pair: &Pair| trajectories[pair.trajectory].log_probs()[pair.random];
        let old: Vec<f32> = pairs.iter().map(log_prob).collect();
        Self {
            state: gather(0),
            next: gather(1),
            old_log_prob: upload(&old, &[old.len() as i64], device),
            steps: pairs.iter().map(|pair| pair.step).collect(),
        }
    }
}
