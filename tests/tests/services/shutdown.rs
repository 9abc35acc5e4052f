//! SIGTERM: a service finishes its work, delivers its results, and exits with status 0.

use ddpo_test_tools::needs;
use ddpo_tests::services::{Fleet, FleetConfig, toy, until};
use ddpo_tests::tree;
use std::time::{Duration, Instant};

/// The default grace period of the services.
const GRACE: Duration = Duration::from_secs(25);

#[track_caller]
#[expect(clippy::print_stdout, reason = "prints measurements")]
fn terminates(fleet: &mut Fleet, name: &str) {
    let asked = Instant::now();
    let status = fleet.terminate(name);
    let took = asked.elapsed();
    println!("measured: {name} ended {:.2} s after SIGTERM", took.as_secs_f64());
    assert_eq!(status.code(), Some(0), "{name}");
    assert!(took <= GRACE, "{name} took {took:?}");
}

#[test]
fn each_service_drains_on_sigterm_and_the_run_ends_with_the_same_bytes() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    let rewarder = fleet.inspector("rewarder");

    // The sampler finishes its batch and sends every trajectory completely.
    fleet.inspector("sampler").watch().growing();
    terminates(&mut fleet, "sampler");
    assert_eq!(rewarder.counter("trajectories_lost"), Some(0));
    assert!(fleet.service("sampler").line("finishing").is_some());
    fleet.start_again("sampler");

    // The rewarder has open streams to a sampler and to the learner.
    until("a stream", || rewarder.counter("streams").filter(|&streams| streams > 0));
    rewarder.watch().growing();
    terminates(&mut fleet, "rewarder");
    fleet.start_again("rewarder");

    toy::saved(fleet.folder(), 1);
    terminates(&mut fleet, "learner");
    let last = fleet.folder().join("run/checkpoints/epoch-000003");
    assert!(!last.exists(), "the run was over before the learner was asked to stop");
    fleet.start_again("learner");
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn workers_exit_on_sigterm_after_the_run() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::fake(3, 16, 5));
    fleet.one_of_each();
    fleet.finishes("learner");
    let sampler = fleet.inspector("sampler");
    assert_eq!(sampler.reaches("receipts_accepted", 48), 48);
    for name in ["sampler", "rewarder"] {
        terminates(&mut fleet, name);
    }
}

#[test]
fn a_learner_with_stay_answers_until_sigterm() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::fake(2, 8, 5));
    fleet.learner("learner", &["--stay"]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    let learner = fleet.inspector("learner");
    let status = until("the end of the run", || {
        learner.status().ok().filter(|status| status.activity.contains("the run is finished"))
    });
    assert!(!status.serving, "{status:?}");
    assert_eq!(learner.counter("trajectories_accepted"), Some(16));
    terminates(&mut fleet, "learner");
}
