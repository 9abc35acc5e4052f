//! Opens reward models from settings.

use anyhow::Result;
use ddpo_diffusion::device;
use ddpo_rewards::RewardRuntime;
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rollout::numerics::Numerics;

/// Returns where the reward models run. Sets libtorch's threads and numerics.
pub fn runtime(device: &str, threads: Option<usize>, numerics: Numerics) -> Result<RewardRuntime> {
    Ok(RewardRuntime {
        device: device::open(device, numerics)?,
        threads: device::set_threads(threads)?,
        waiting: waiting(),
    })
}

/// Waits until a reward server answers or Ctrl-C, and prints one line.
pub fn waiting() -> Waiting {
    let tell = |reach: &Reach| match reach {
        Reach::Lost(line) | Reach::Found(line) => crate::output::aside(line),
    };
    Waiting::new(tell, crate::interrupt::requested)
}
