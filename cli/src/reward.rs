//! From settings to the reward's model.

use anyhow::Result;
use ddpo_learner::device;
use ddpo_learner::settings::{Dtype, Settings};
use ddpo_rewarder::{RewardModel, RewardOptions, Task, reward_for};
use tch::Kind;

/// The type called `dtype`.
#[must_use]
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
    }
}

/// The reward model of a run. It is opened before anything of the run is read or written.
pub fn open(task: Task, settings: &Settings) -> Result<Box<dyn RewardModel>> {
    let options = RewardOptions {
        model: settings.reward_model.clone(),
        aesthetic_head: settings.aesthetic_head.clone(),
        age_reward: settings.age_reward.parse()?,
        device: device::parse(&settings.device)?,
        kind: kind(settings.reward_dtype),
        threads: device::set_threads(settings.threads)?,
    };
    Ok(reward_for(task, &options, &mut crate::output::aside)?)
}
