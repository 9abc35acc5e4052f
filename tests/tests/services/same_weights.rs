//! A run ends with the same bytes as `ddpo train` (weights, averages, moments, state) with any number of
//! services, and after kills.

use ddpo_proto::wire::Stage;
use ddpo_test_tools::needs;
use ddpo_tests::services::toy::{self, ALL};
use ddpo_tests::services::{Fleet, FleetConfig, until};
use ddpo_tests::tree;

fn fleet() -> Fleet {
    Fleet::new(FleetConfig::default())
}

#[track_caller]
fn assert_same(fleet: &Fleet) {
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn one_sampler_and_one_rewarder_end_with_the_same_bytes_as_one_process() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.one_of_each();
    fleet.finishes("learner");
    assert_same(&fleet);
    // Without faults, no sample is drawn twice.
    assert_eq!(fleet.inspector("sampler").reaches("receipts_accepted", ALL), ALL);
    assert_eq!(fleet.inspector("rewarder").counter("trajectories_scored"), Some(ALL));
}

#[test]
fn three_samplers_and_two_rewarders_end_with_the_same_bytes_as_one_process() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.learner("learner", &[]);
    ["rewarder-1", "rewarder-2"].into_iter().for_each(|name| fleet.rewarder(name));
    ["sampler-1", "sampler-2", "sampler-3"].into_iter().for_each(|name| fleet.sampler(name));
    fleet.finishes("learner");
    assert_same(&fleet);
    let drawn = ["sampler-1", "sampler-2", "sampler-3"]
        .map(|name| fleet.inspector(name).counter("trajectories_drawn").unwrap_or_default());
    assert!(drawn.iter().sum::<u64>() >= ALL, "{drawn:?}");
    assert!(
        drawn.iter().filter(|&&count| count > 0).count() >= 2,
        "one sampler drew all: {drawn:?}"
    );
}

/// Starts and kills samplers named after `name` until the rewarder reports that one was killed in the middle
/// of sending a trajectory.
fn kill_one_in_mid_trajectory(fleet: &mut Fleet, name: &str) {
    let rewarder = fleet.inspector("rewarder");
    for attempt in 1..=10 {
        let name = format!("{name}-{attempt}");
        fleet.sampler(&name);
        let growing = fleet.inspector(&name).watch().growing();
        fleet.service(&name).kill();
        fleet.bury(&name);
        // Bytes in flight still arrive, and may complete the trajectory.
        let ended = until("the end of a half sent trajectory", || {
            match rewarder.trajectory(&growing.trajectory_id) {
                Some(seen) if seen.stage() == Stage::Growing => None,
                seen => Some(seen),
            }
        });
        if ended.is_some_and(|seen| seen.stage() == Stage::Rejected) {
            return;
        }
    }
    panic!("no sampler was killed in the middle of a trajectory");
}

#[test]
fn a_killed_sampler_and_a_late_sampler_do_not_change_the_bytes() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    kill_one_in_mid_trajectory(&mut fleet, "killed");
    fleet.sampler("sampler");
    toy::saved(fleet.folder(), 1);
    fleet.sampler("late");
    fleet.finishes("learner");
    assert_same(&fleet);
    // A sampler has taken over the order of the killed one.
    let claimed = ["sampler", "late"]
        .map(|name| fleet.inspector(name).counter("orders_claimed").unwrap_or_default());
    assert!(claimed.iter().sum::<u64>() >= 1, "{claimed:?}");
    assert!(fleet.inspector("rewarder").counter("trajectories_lost") >= Some(1));
}

#[test]
fn a_killed_and_restarted_learner_does_not_change_the_bytes() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.finishes_with_a_killed_learner();
    assert_same(&fleet);
}
