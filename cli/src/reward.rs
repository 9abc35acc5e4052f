//! From settings to the models of the rewards.

use anyhow::{Context, Result};
use ddpo_diffusion::device;
use ddpo_rewarder::own::waiting::{Reach, Waiting};
use ddpo_rewarder::{RewardOptions, RewardSource, Rewards};
use ddpo_run::plan::Plan;

/// Checks that there are all rewards that a run asks for, by their names.
pub fn check(plan: &Plan) -> Result<()> {
    let setting = if plan.settings.reward.is_some() { "reward" } else { "task" };
    RewardSource::of(&plan.reward).with_context(|| format!("{setting} = {}", plan.reward))?;
    for reward in &plan.held_out {
        RewardSource::of(reward).with_context(|| format!("eval_reward = {reward}"))?;
    }
    Ok(())
}

/// The reward models of a run. They are opened before anything of the run is read or written.
pub fn open(plan: &Plan) -> Result<Rewards> {
    let settings = &plan.settings;
    let options = RewardOptions {
        model: settings.reward_model.clone(),
        aesthetic_head: settings.aesthetic_head.clone(),
        age_reward: settings.age_reward.parse()?,
        device: device::parse(&settings.device)?,
        kind: settings.reward_dtype.kind(),
        threads: device::set_threads(settings.threads)?,
        waiting: waiting(),
    };
    Ok(Rewards::open(&plan.reward, &plan.held_out, &options, &mut crate::output::aside)?)
}

/// A reward server that does not answer is waited for, with a line that says so, until Ctrl-C.
#[must_use]
pub fn waiting() -> Waiting {
    let tell = |reach: &Reach| match reach {
        Reach::Lost(line) | Reach::Found(line) => crate::output::aside(line),
    };
    Waiting::new(tell, crate::interrupt::requested)
}
