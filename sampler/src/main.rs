//! `ddpo-sampler`: draws trajectories with the model that the learner publishes.

use ddpo_sampler::service::command;
use ddpo_sampler::service::run::open_model;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    command::main(Arc::new(open_model))
}
