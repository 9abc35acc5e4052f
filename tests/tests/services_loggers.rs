//! The learner of a distributed run logs as `ddpo train` does, killed in between or not.

use ddpo_tests::scripts;
use ddpo_tests::services::{Fleet, FleetConfig, toy};

const LOGGED: &str =
    "tensorboard = true\nwandb_logging = true\nsave_model = true\nrecord_batches = true\n";

#[test]
fn a_learner_killed_and_started_again_has_logged_every_step_once() {
    let run = format!("{}{LOGGED}", toy::RUN);
    let mut fleet = Fleet::new(FleetConfig { run, ..FleetConfig::default() });
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.service("learner").kill();
    fleet.start_again("learner");
    fleet.finishes("learner");
    let (code, printed) = scripts::run("loggers", "check.py", &[&fleet.folder().join("run")]);
    assert_eq!(code, Some(0), "{printed}");
}
