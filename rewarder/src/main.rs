//! `ddpo-rewarder`: scores with the models of the run's reward.

use anyhow::Result;
use ddpo_rewarder::service::command;
use ddpo_rewards::{RewardRuntime, Rewards};
use ddpo_rollout::reward::RewardSpec;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    command::main(Arc::new(open))
}

/// Opens the reward models; downloads report to the log.
fn open(spec: &RewardSpec, runtime: &RewardRuntime) -> Result<Rewards> {
    Ok(Rewards::open(spec, runtime, &mut |line| tracing::info!("{line}"))?)
}
