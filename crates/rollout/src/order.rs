//! What the learner asks of the samplers: a batch of samples, and the weights to draw them with.

use crate::chain::NeededStates;
use crate::noise::Purpose;
use crate::numerics::{NormKernel, Numerics};
use crate::trajectory::{Digest, PolicyVersion, SampleCoordinates, StateDtype};
use crate::window::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of the learner's weights are meant.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// The weights that are trained.
    #[default]
    Policy,
    /// Their moving average, for evaluation.
    Average,
}

/// One set of weights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WeightsId {
    /// Version of the policy.
    pub version: PolicyVersion,
    /// The policy's own weights, or their average.
    pub track: Track,
}

impl fmt::Display for WeightsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.track {
            Track::Policy => write!(f, "{}", self.version),
            Track::Average => write!(f, "{}-average", self.version),
        }
    }
}

/// One batch of work for a sampler. The whole batch is drawn together, whoever draws it and however
/// often: the shape of a batch has an effect on the last bits of its samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkOrder {
    /// The run.
    pub run_id: String,
    /// Name of the order, unique in the run.
    pub order_id: String,
    /// Fencing token of the learner that issued it.
    pub fence: u64,
    /// What the noise is drawn for.
    pub purpose: Purpose,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Indices of the samples, in the order of the batch.
    pub samples: Vec<u32>,
    /// The weights to draw with.
    pub weights: WeightsId,
    /// Digest of those weights.
    pub weights_digest: Digest,
    /// W3C trace context of the learner's span, for one trace from order to update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl WorkOrder {
    /// The coordinates of its samples, in the order of the batch.
    pub fn coordinates(&self) -> Vec<SampleCoordinates> {
        let (run_seed, epoch) = (self.run_seed, self.epoch);
        let of = |&sample| SampleCoordinates { run_seed, epoch, sample };
        self.samples.iter().map(of).collect()
    }
}

/// What a sampler has to know of a run besides weights: published once by the learner, so that a
/// sampler needs no checkpoint and no setting of its own that could differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The run.
    pub run_id: String,
    /// diffusers' `unet/config.json`, as text.
    pub unet_config: String,
    /// diffusers' `scheduler/scheduler_config.json`, as text.
    pub scheduler_config: String,
    /// `ddim` or `ddpm`.
    pub scheduler: String,
    /// Denoising steps T.
    pub num_inference_steps: usize,
    /// DDIM's eta.
    pub eta: f64,
    /// Digest of the transitions that follow from these; a sampler checks its own against it.
    pub scheduler_digest: Digest,
    /// Type that the UNet runs in: `f32` or `bf16`.
    pub dtype: String,
    /// Type that states are rounded to and sent in.
    pub state_dtype: StateDtype,
    /// The window of random steps that training samples are drawn with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The states of a training sample that a sampler sends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub needed_states: NeededStates,
    /// The arithmetic of the UNet.
    #[serde(default, skip_serializing_if = "Numerics::is_default")]
    pub numerics: Numerics,
    /// What computes norms on GPUs.
    #[serde(default, skip_serializing_if = "NormKernel::is_default")]
    pub norm_kernel: NormKernel,
    /// The reward that trajectories are scored with.
    pub task: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
