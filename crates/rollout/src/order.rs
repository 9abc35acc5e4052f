//! Work orders from the learner to the samplers: a batch of samples, and the weights to draw them with.

use crate::chain::NeededStates;
use crate::classes::ClassList;
use crate::noise::Purpose;
use crate::numerics::{NormKernel, Numerics};
use crate::trajectory::{Digest, PolicyVersion, SampleCoordinates, StateDtype};
use crate::window::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of weights.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// The trained weights.
    #[default]
    Policy,
    /// The moving average of the trained weights, for evaluation.
    Average,
}

/// One set of weights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WeightsId {
    /// Version of the policy.
    pub version: PolicyVersion,
    /// Trained weights or their average.
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

/// One batch of work for a sampler. A sampler always draws the whole batch together, also when it is
/// drawn again, because the batch shape affects the last bits of the samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkOrder {
    /// Identifier of the run.
    pub run_id: String,
    /// Identifier of the order, unique in the run.
    pub order_id: String,
    /// Fencing token of the learner that issued the order.
    pub fence: u64,
    /// Purpose of the noise.
    pub purpose: Purpose,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Indices of the samples, in the order of the batch.
    pub samples: Vec<u32>,
    /// Weights to draw with.
    pub weights: WeightsId,
    /// Digest of the weights.
    pub weights_digest: Digest,
    /// W3C trace context of the learner's span, so that one trace covers order to update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl WorkOrder {
    /// Returns the coordinates of the samples, in the order of the batch.
    pub fn coordinates(&self) -> Vec<SampleCoordinates> {
        let (run_seed, epoch) = (self.run_seed, self.epoch);
        let of = |&sample| SampleCoordinates { run_seed, epoch, sample };
        self.samples.iter().map(of).collect()
    }
}

/// The settings of a run that a sampler needs besides weights. The learner publishes them once, so that
/// samplers need neither a checkpoint nor local settings that could differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Identifier of the run.
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
    /// Digest of the resulting transitions; a sampler compares its own digest with it.
    pub scheduler_digest: Digest,
    /// Type in which the UNet computes: `f32` or `bf16`.
    pub dtype: String,
    /// Type to which states are rounded and in which they are sent.
    pub state_dtype: StateDtype,
    /// The window of random steps that training samples are drawn with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The states of a training sample that a sampler sends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub needed_states: NeededStates,
    /// The classes of samples; absent for all classes of the model, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_labels: Option<ClassList>,
    /// The arithmetic of the UNet.
    #[serde(default, skip_serializing_if = "Numerics::is_default")]
    pub numerics: Numerics,
    /// Norm kernel on GPUs.
    #[serde(default, skip_serializing_if = "NormKernel::is_default")]
    pub norm_kernel: NormKernel,
    /// Reward expression for the trajectories.
    pub task: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{
        "run_id": "r", "unet_config": "{}", "scheduler_config": "{}", "scheduler": "ddim",
        "num_inference_steps": 5, "eta": 1.0,
        "scheduler_digest": "0101010101010101010101010101010101010101010101010101010101010101",
        "dtype": "f32", "state_dtype": "f32", "task": "brightness"
    }"#;

    #[test]
    fn a_specification_of_an_older_version_has_no_list_of_classes() {
        let old: RunSpec = serde_json::from_str(OLD).unwrap();
        assert_eq!(old.class_labels, None);
        assert!(!serde_json::to_string(&old).unwrap().contains("class_labels"));
        let listed = RunSpec { class_labels: Some("3,1".parse().unwrap()), ..old };
        let text = serde_json::to_string(&listed).unwrap();
        assert!(text.contains("\"class_labels\":[3,1]"), "{text}");
        assert_eq!(serde_json::from_str::<RunSpec>(&text).unwrap(), listed);
    }
}
