//! `double-rewarder`: the rewarder with the mean level instead of the run's reward.

use ddpo_doubles::mean_level::MeanLevel;
use ddpo_rewarder::service::command;
use ddpo_rewards::Rewards;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(|_, _| Ok(Rewards::alone(Box::new(MeanLevel))))
}
