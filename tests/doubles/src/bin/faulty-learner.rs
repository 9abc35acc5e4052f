//! `faulty-learner`: the learner, whose update fails with an error of libtorch.

use ddpo_doubles::faulty::FaultyProgress;
use ddpo_learner::service::command;
use ddpo_learner::service::progress::LogProgress;
use ddpo_learner::service::run::TrainingThread;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main(|thread: &TrainingThread| {
        let log = LogProgress { metrics: thread.metrics.clone() };
        thread.train_telling(&FaultyProgress::new(Box::new(log)))
    })
}
