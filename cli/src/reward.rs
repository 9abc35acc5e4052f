//! From settings to reward models.

use anyhow::Result;
use ddpo_diffusion::device;
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rewards::{RewardRuntime, resolve};
use ddpo_rollout::numerics::Numerics;
use ddpo_rollout::reward::RewardSpec;
use ddpo_run::plan::Plan;
use ddpo_run::resume::reward_of_run;

/// Returns what a run is scored with: as `run.toml` records it for a run that resumes, otherwise made
/// from the settings.
pub fn spec(plan: &Plan, resume: bool) -> Result<RewardSpec> {
    let recorded = if resume { reward_of_run(&plan.folder())? } else { None };
    match recorded {
        Some(spec) => Ok(spec),
        None => Ok(resolve(&plan.rewards, &mut crate::output::aside)?),
    }
}

/// Returns where the reward models run. Sets libtorch's threads and
/// arithmetic.
pub fn runtime(device: &str, threads: Option<usize>, numerics: Numerics) -> Result<RewardRuntime> {
    Ok(RewardRuntime {
        device: device::open(device, numerics)?,
        threads: device::set_threads(threads)?,
        waiting: waiting(),
    })
}

/// Waits for a reward server that does not answer, with one line, until Ctrl-C.
#[must_use]
pub fn waiting() -> Waiting {
    let tell = |reach: &Reach| match reach {
        Reach::Lost(line) | Reach::Found(line) => crate::output::aside(line),
    };
    Waiting::new(tell, crate::interrupt::requested)
}
