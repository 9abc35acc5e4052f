//! However many services work on a run, and whatever happens to them, it ends with the same bytes
//! as `ddpo train`: weights, their average, the optimizer's moments and the state.

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
fn one_sampler_and_one_rewarder() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.one_of_each();
    fleet.finishes("learner");
    assert_same(&fleet);
    // Nothing was drawn twice: where nothing goes wrong, nothing is repeated.
    assert_eq!(fleet.inspector("sampler").reaches("receipts_accepted", ALL), ALL);
    assert_eq!(fleet.inspector("rewarder").counter("trajectories_scored"), Some(ALL));
}

#[test]
fn three_samplers_and_two_rewarders() {
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
    assert!(drawn.iter().filter(|&&count| count > 0).count() >= 2, "no two took part: {drawn:?}");
}

/// Starts samplers named after `name` until one of them was killed with a trajectory half sent, as
/// the rewarder confirms.
fn kill_one_in_mid_trajectory(fleet: &mut Fleet, name: &str) {
    let rewarder = fleet.inspector("rewarder");
    for attempt in 1..=10 {
        let name = format!("{name}-{attempt}");
        fleet.sampler(&name);
        let growing = fleet.inspector(&name).watch().growing();
        fleet.service(&name).kill();
        fleet.bury(&name);
        // What was on its way arrives all the same: it may have been the rest.
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
fn a_sampler_killed_in_mid_trajectory_and_one_that_joins_late() {
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
    // Somebody has taken the dead one's order over.
    let claimed = ["sampler", "late"]
        .map(|name| fleet.inspector(name).counter("orders_claimed").unwrap_or_default());
    assert!(claimed.iter().sum::<u64>() >= 1, "{claimed:?}");
    assert!(fleet.inspector("rewarder").counter("trajectories_lost") >= Some(1));
}

#[test]
fn a_learner_killed_and_started_again_with_the_same_command() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.service("learner").kill();
    assert!(!fleet.folder().join("run/checkpoints/epoch-000003").exists(), "killed too late");
    fleet.start_again("learner");
    fleet.finishes("learner");
    assert_same(&fleet);
}
