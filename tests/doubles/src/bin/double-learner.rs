//! `double-learner`: the learner, which counts trajectories instead of training.

use ddpo_doubles::counting::count;
use ddpo_learner::service::command;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(count)
}
