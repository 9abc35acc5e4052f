//! `double-rewarder`: the rewarder with `MeanLevel` instead of the run's reward.

use ddpo_doubles::mean_level::MeanLevel;
use ddpo_rewarder::service::command;
use ddpo_rewards::Rewards;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    command::main(Arc::new(|_, _| Ok(Rewards::alone(Box::new(MeanLevel)))))
}
