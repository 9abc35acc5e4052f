//! The learner of a distributed run writes the same logs as `ddpo train`, also after a kill.

use ddpo_test_tools::needs;
use ddpo_tests::services::{Fleet, FleetConfig, toy};
use ddpo_tests::{python, scripts};

const LOGGED: &str =
    "tensorboard = true\nwandb_logging = true\nsave_model = true\nrecord_batches = true\n";

#[test]
fn a_learner_that_was_killed_and_restarted_logs_each_step_once() {
    needs!("redis-server");
    let run = format!("{}{LOGGED}", toy::RUN);
    let python = python::with("tests/loggers/requirements.txt").display().to_string();
    let environment = [
        ("DDPO_PYTHON", python.as_str()),
        ("WANDB_MODE", "offline"),
        ("WANDB_ERROR_REPORTING", "false"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into())).into();
    let mut fleet = Fleet::new(FleetConfig { run, environment, ..FleetConfig::default() });
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.service("learner").kill();
    fleet.start_again("learner");
    fleet.finishes("learner");
    let (code, printed) = scripts::run("loggers", "check.py", &[&fleet.folder().join("run")]);
    assert_eq!(code, Some(0), "{printed}");
}
