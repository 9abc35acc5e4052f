//! The tensors of a micro-batch.

use crate::epoch::Epoch;
use crate::forward::noise_key;
use crate::pairs::Pair;
use ddpo_diffusion::transfer::upload;
use ddpo_rollout::noise::NoiseKey;
use ddpo_rollout::trajectory::{StateShape, Trajectory, decode};
use tch::{Device, Tensor};

/// The transitions of P pairs, as one batch for the network.
#[derive(Debug)]
pub struct MicroBatch {
    /// x_t, f32 `[P, C, H, W]`.
    pub state: Tensor,
    /// x_{t-1}, f32 `[P, C, H, W]`.
    pub next: Tensor,
    /// Step indices, P of them.
    pub steps: Vec<usize>,
    /// Classes, i64 `[P]`; `None` for a model without classes.
    pub labels: Option<Tensor>,
}

impl MicroBatch {
    /// Decodes the states of `pairs`, at least one, onto `device`.
    pub fn new(epoch: &Epoch<'_>, pairs: &[Pair], device: Device) -> Self {
        let trajectories = &epoch.trajectories;
        Self {
            state: states(trajectories, pairs, device, |pair| pair.step),
            next: states(trajectories, pairs, device, |pair| pair.step + 1),
            steps: pairs.iter().map(|pair| pair.step).collect(),
            labels: labels(epoch, pairs, device),
        }
    }
}

/// Returns the classes of `pairs`, i64 `[P]` on `device`; `None` for a model without classes.
pub fn labels(epoch: &Epoch<'_>, pairs: &[Pair], device: Device) -> Option<Tensor> {
    if epoch.classes.is_empty() {
        return None;
    }
    let label = |pair: &Pair| i64::from(epoch.classes[pair.trajectory]);
    let labels: Vec<i64> = pairs.iter().map(label).collect();
    Some(upload(&labels, &[labels.len() as i64], device))
}

/// Returns the images x_0 of `pairs`, f32 `[P, C, H, W]` on `device`.
pub fn images(trajectories: &[&Trajectory], pairs: &[Pair], device: Device) -> Tensor {
    let steps = trajectories[pairs[0].trajectory].header().timesteps.len();
    states(trajectories, pairs, device, |_| steps)
}

/// Returns the noise that the sampler added in the steps of `pairs`, f32 `[P, C, H, W]` on `device`.
pub fn sampling_noise(epoch: &Epoch<'_>, pairs: &[Pair], device: Device) -> Tensor {
    noise(epoch, pairs, device, |pair| {
        let header = epoch.trajectories[pair.trajectory].header();
        header.coordinates.noise(header.purpose, pair.step as u32 + 1)
    })
}

/// Returns the noise that the forward objective adds to the images of `pairs`, f32 `[P, C, H, W]` on
/// `device`; a pass trains `levels` noise levels of each sample.
pub fn forward_noise(epoch: &Epoch<'_>, pairs: &[Pair], levels: usize, device: Device) -> Tensor {
    noise(epoch, pairs, device, |pair| {
        let coordinates = epoch.trajectories[pair.trajectory].header().coordinates;
        noise_key(coordinates, pair.inner_epoch, levels, pair.slot)
    })
}

fn states(
    trajectories: &[&Trajectory],
    pairs: &[Pair],
    device: Device,
    index: impl Fn(&Pair) -> usize,
) -> Tensor {
    let values = pairs.iter().flat_map(|pair| {
        let trajectory = trajectories[pair.trajectory];
        // The checks before the epoch have verified that every state of a pair is present.
        let state: &[u8] = trajectory.state(index(pair)).map_or(&[], |state| state);
        decode(state, trajectory.header().dtype)
    });
    batch(&values.collect::<Vec<f32>>(), shape(trajectories, pairs), pairs.len(), device)
}

fn noise(
    epoch: &Epoch<'_>,
    pairs: &[Pair],
    device: Device,
    key: impl Fn(&Pair) -> NoiseKey,
) -> Tensor {
    let shape = shape(&epoch.trajectories, pairs);
    let mut values = vec![0.0; pairs.len() * shape.elements()];
    for (pair, out) in pairs.iter().zip(values.chunks_exact_mut(shape.elements())) {
        key(pair).fill_normal(out);
    }
    batch(&values, shape, pairs.len(), device)
}

fn shape(trajectories: &[&Trajectory], pairs: &[Pair]) -> StateShape {
    trajectories[pairs[0].trajectory].header().shape
}

fn batch(values: &[f32], shape: StateShape, count: usize, device: Device) -> Tensor {
    let size = [count, shape.channels, shape.height, shape.width].map(|side| side as i64);
    upload(values, &size, device)
}
