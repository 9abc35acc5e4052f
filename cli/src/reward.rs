//! Opens reward models from settings, and the flags that several commands with rewards have.

use anyhow::Result;
use clap::Args;
use ddpo_diffusion::device;
use ddpo_rewards::RewardRuntime;
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rollout::numerics::Numerics;
use std::time::Duration;

/// Returns where the reward models run. Sets libtorch's threads and numerics.
pub fn runtime(
    device: &str,
    threads: Option<usize>,
    numerics: Numerics,
    servers: &ServerFlags,
) -> Result<RewardRuntime> {
    Ok(RewardRuntime {
        device: device::open(device, numerics)?,
        threads: device::set_threads(threads)?,
        waiting: waiting(servers),
    })
}

/// Flags for reward servers.
#[derive(Clone, Debug, Args)]
pub struct ServerFlags {
    /// Longest time for a reward server to score one batch (seconds)
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub reward_deadline: Duration,
}

impl Default for ServerFlags {
    fn default() -> Self {
        Self { reward_deadline: Waiting::default().answer }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let limit = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.filter(|limit| !limit.is_zero()).ok_or_else(|| "expected seconds, more than 0".to_owned())
}

/// Waits until a reward server answers or Ctrl-C, and prints one line. Work that has to be finished
/// despite Ctrl-C is finished.
pub fn waiting(servers: &ServerFlags) -> Waiting {
    let tell = |reach: &Reach| match reach {
        Reach::Lost(line) | Reach::Found(line) => crate::output::aside(line),
    };
    Waiting::new(tell, crate::interrupt::requested)
        .answer_within(servers.reward_deadline)
        .finishing(crate::interrupt::is_finishing)
}
