//! Two learners of a run: one trains, the other is rejected or waits.

use ddpo_test_tools::needs;
use ddpo_tests::services::process::Role;
use ddpo_tests::services::{Fleet, FleetConfig, toy, until};
use ddpo_tests::tree;
use rustix::process::Signal;

const STANDBY: [&str; 1] = ["--standby"];

#[track_caller]
fn assert_same(fleet: &Fleet) {
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_second_learner_is_rejected_while_the_first_holds_the_lease() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    until("the lease", || fleet.service("learner").line("condition met"));
    fleet.start(Role::Learner, "second", &[]);
    let status = fleet.service("second").ends();
    let said = fleet.service("second").text();
    assert_eq!(status.code(), Some(1), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.contains("learner-") && error.contains("--standby"), "{said}");
    fleet.bury("second");
    // The first learner is not affected.
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    fleet.finishes("learner");
    assert_same(&fleet);
}

/// Returns a fleet with a learner and a standby. The standby's name makes rewarders try it first.
fn with_standby() -> Fleet {
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    until("the lease", || fleet.service("learner").line("condition met"));
    fleet.learner("another", &STANDBY);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    fleet
}

#[test]
fn a_standby_takes_over_when_the_first_is_killed() {
    needs!("redis-server");
    let mut fleet = with_standby();
    toy::saved(fleet.folder(), 1);
    let standby = fleet.inspector("another").status().unwrap();
    assert!(!standby.serving && standby.activity.starts_with("lease: "), "{standby:?}");
    fleet.service("learner").kill();
    fleet.bury("learner");
    fleet.finishes("another");
    assert_same(&fleet);
}

#[test]
fn a_standby_takes_over_from_a_paused_learner() {
    needs!("redis-server");
    let mut fleet = with_standby();
    toy::saved(fleet.folder(), 1);
    fleet.service("learner").signal(Signal::STOP);
    let standby = fleet.inspector("another");
    // The standby has the lease and waits for the folder, which the other learner still locks.
    until("the standby to have the lease", || {
        standby.status().ok().filter(|status| status.activity.contains("another process"))
    });
    fleet.service("learner").signal(Signal::CONT);
    let status = fleet.service("learner").ends();
    let said = fleet.service("learner").text();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("another learner has taken over"), "{said}");
    fleet.bury("learner");
    fleet.finishes("another");
    assert_same(&fleet);
}
