//! Errors of the update.

use crate::config::InvalidSetting;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use tch::TchError;
use thiserror::Error;

/// Errors from making a learner or training an epoch.
#[derive(Debug, Error)]
pub enum LearnError {
    /// A setting is out of range.
    #[error("learner: {0}")]
    Setting(#[from] InvalidSetting),
    /// The batch is empty or does not divide into mini-batches.
    #[error("learner: {samples} samples do not divide into mini-batches of {batch_size}")]
    Indivisible {
        /// Samples of the epoch.
        samples: usize,
        /// Samples in a mini-batch.
        batch_size: usize,
    },
    /// A trajectory was drawn with another scheduler than the learner's.
    #[error(
        "learner: sample {sample} was made with scheduler {found}, the learner's is {expected}"
    )]
    Scheduler {
        /// Index of the sample.
        sample: u32,
        /// The learner's digest.
        expected: Digest,
        /// The trajectory's digest.
        found: Digest,
    },
    /// A trajectory's random steps or states differ from what the objective needs.
    #[error(
        "learner: sample {sample}: expected random steps {expected:?} and the states around them, \
         found random steps {found:?} and states {states:?}"
    )]
    Chain {
        /// Index of the sample.
        sample: u32,
        /// The epoch's random steps.
        expected: Vec<usize>,
        /// The trajectory's.
        found: Vec<usize>,
        /// The states that the trajectory carries.
        states: Vec<usize>,
    },
    /// The score-function objective would take a second step with samples of older weights.
    #[error(
        "learner: objective = score-function takes one optimizer step for an epoch: expected \
         batch_size = {samples}, found {batch_size}"
    )]
    OnPolicy {
        /// Samples of the epoch.
        samples: usize,
        /// Samples in a mini-batch.
        batch_size: usize,
    },
    /// A trajectory is too old.
    #[error(
        "learner: sample {sample} was made with {sampled}, the learner is at {learned}: \
         a lag of {lag}, expected at most max_staleness = {bound}"
    )]
    Stale {
        /// Index of the sample.
        sample: u32,
        /// The number of versions that its weights are behind.
        lag: u64,
        /// The largest lag allowed.
        bound: u32,
        /// Version that made it.
        sampled: PolicyVersion,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// A trajectory was made with weights that the learner does not have yet.
    #[error(
        "learner: sample {sample} was made with {sampled}, the learner is at {learned}: \
         expected weights that it has published"
    )]
    Unknown {
        /// Index of the sample.
        sample: u32,
        /// Version that made it.
        sampled: PolicyVersion,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// A reward is not finite.
    #[error("learner: the reward of sample {sample} is {reward}, not a finite number")]
    Reward {
        /// Index of the sample.
        sample: u32,
        /// The reward.
        reward: f32,
    },
    /// A score lacks the reward of a term.
    #[error(
        "learner: sample {sample}: expected a component \"{name}\" that is a number, for \
         reward_scale = normalised, found {found}"
    )]
    Component {
        /// Index of the sample.
        sample: u32,
        /// The term.
        name: String,
        /// The value found.
        found: String,
    },
    /// No step of the schedule is random.
    #[error(
        "learner: no step has sigma > 0, so there is nothing to train; hint: {}",
        random_hint(*steps)
    )]
    Deterministic {
        /// Number of denoising steps.
        steps: usize,
    },
    /// The sampler's log-probabilities differ from the learner's.
    #[error(
        "learner: before the first update of epoch {epoch}, sample {sample}, step {step} (t = {timestep}): \
         |ratio - 1| = {gap:.3e} exceeds {tolerance:.3e} between the sampler's {sampled} and the \
         learner's {learned}; hint: they differ in weights, dtype or scheduler"
    )]
    RatioGap {
        /// Epoch.
        epoch: u32,
        /// Index of the sample.
        sample: u32,
        /// Index of the step.
        step: usize,
        /// Its timestep.
        timestep: i64,
        /// The gap.
        gap: f64,
        /// The largest gap allowed.
        tolerance: f64,
        /// Version that made the trajectories.
        sampled: PolicyVersion,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// Recorded log-probabilities differ from the learner's by too much, summed over dimensions.
    #[error(
        "learner: before the first update of epoch {epoch}, sample {sample}, step {step} (t = {timestep}): the \
         log-probability recorded by the sampler ({sampled}) differs from the learner's ({learned}) \
         by {nats:.3} nats, expected at most ratio_tolerance_nats = {tolerance}"
    )]
    GapInNats {
        /// Epoch.
        epoch: u32,
        /// Index of the sample.
        sample: u32,
        /// Index of the step.
        step: usize,
        /// Its timestep.
        timestep: i64,
        /// The gap, summed over dimensions.
        nats: f64,
        /// The largest gap allowed.
        tolerance: f64,
        /// Version that made the trajectories.
        sampled: PolicyVersion,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// The keyed noise is not the noise that the sampler added.
    #[error(
        "learner: before the first update of epoch {epoch}, sample {sample}, step {step} (t = {timestep}): the \
         policy that sampled, by the noise of run_seed = {run_seed}, is {nats:.3} nats from the learner's, \
         expected at most {limit}; hint: trust_region = kl needs trajectories whose noise \
         follows from the run's seed"
    )]
    Noise {
        /// Epoch.
        epoch: u32,
        /// Index of the sample.
        sample: u32,
        /// Index of the step.
        step: usize,
        /// Its timestep.
        timestep: i64,
        /// The seed that keys the noise.
        run_seed: u64,
        /// KL of the step.
        nats: f64,
        /// The largest KL allowed.
        limit: f64,
    },
    /// Two passes with the same weights differ.
    #[error(
        "learner: before the first update of epoch {epoch}, step {step} (t = {timestep}): \
         |ratio - 1| = {gap:.3e} exceeds {tolerance:.3e} between two passes of the learner's \
         {learned}; hint: the device's results change from pass to pass"
    )]
    ProximalGap {
        /// Epoch.
        epoch: u32,
        /// Index of the step.
        step: usize,
        /// Its timestep.
        timestep: i64,
        /// The gap.
        gap: f64,
        /// The largest gap allowed.
        tolerance: f64,
        /// The learner's version.
        learned: PolicyVersion,
    },
    /// libtorch failed to copy a result.
    #[error("learner: {0}")]
    Torch(#[from] TchError),
    /// The loss or the gradient is not finite.
    #[error("learner: the {what} of optimizer step {step} is {value}, not a finite number")]
    NotFinite {
        /// What is not finite.
        what: &'static str,
        /// The optimizer step.
        step: u64,
        /// Its value.
        value: f64,
    },
}

impl LearnError {
    /// Returns the sample whose trajectory does not come from the weights that it names, if that is the
    /// error. The weights of the learner are unchanged.
    #[must_use]
    pub fn false_sample(&self) -> Option<u32> {
        match self {
            Self::RatioGap { sample, .. }
            | Self::GapInNats { sample, .. }
            | Self::Noise { sample, .. } => Some(*sample),
            _ => None,
        }
    }
}

/// Returns what gives a schedule random steps: the last step, often the only one, has none.
fn random_hint(steps: usize) -> &'static str {
    match steps {
        0 | 1 => "use num_inference_steps of 2 or more; the last step is not random",
        _ => "use eta > 0",
    }
}
