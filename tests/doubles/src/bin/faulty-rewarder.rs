//! `faulty-rewarder`: the rewarder, whose reward fails with an error of libtorch.

use ddpo_doubles::faulty::{Fault, FaultyRewards};
use ddpo_rewarder::service::command;
use ddpo_rewards::Rewards;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    command::main(Arc::new(|spec, runtime| {
        let inner = Rewards::open(spec, runtime, &mut |line| tracing::info!("{line}"))?;
        let fault = Fault::from_environment();
        Ok(Rewards::alone(Box::new(FaultyRewards { inner, fault })))
    }))
}
