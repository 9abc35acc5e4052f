//! `double-learner`: the learner with a run that counts instead of training.

use ddpo_doubles::counting::count;
use ddpo_learner::service::command;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(count)
}
