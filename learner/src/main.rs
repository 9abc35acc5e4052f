//! `ddpo-learner`: trains the run's model.

use ddpo_learner::service::command;
use ddpo_learner::service::run::TrainingThread;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(TrainingThread::train)
}
