//! Services that score for a sum of rewards, with others held out for evaluation, end with the bytes
//! of `ddpo train`; and services that do not agree on the rewards say so.

use ddpo_tests::services::{Fleet, FleetConfig, toy};
use ddpo_tests::tree;

const SUM: &str = "0.7*jpeg compressibility - 0.2*jpeg incompressibility";

/// The toy run for a sum, normalised over all samples so far.
fn run() -> String {
    let more = format!(
        "reward = {SUM:?}\nreward_scale = \"normalised\"\nadvantage = \"running\"\n\
         eval_reward = [\"jpeg incompressibility\"]\n"
    );
    toy::RUN.to_owned() + &more
}

/// A fleet whose rewarders have these lines.
fn fleet(rewarder: &str) -> Fleet {
    let rewarder = format!("reward_threads = 1\n{rewarder}");
    Fleet::new(FleetConfig { run: run(), rewarder, ..FleetConfig::default() })
}

#[test]
fn a_sum_with_a_held_out_reward_ends_as_in_one_process() {
    // Written otherwise, it is the same sum.
    let lines = "reward_task = \"0.70*jpeg compressibility - 2e-1 * jpeg incompressibility\"\n\
                 eval_rewards = [\"jpeg incompressibility\"]";
    let mut fleet = fleet(lines);
    fleet.one_of_each();
    fleet.finishes("learner");
    let expected = toy::trained(&run());
    let checkpoint = format!("checkpoints/epoch-{:06}/", toy::EPOCHS);
    let found = tree::read(&fleet.folder().join("run"));
    for part in [checkpoint.as_str(), "eval/"] {
        tree::assert_same(&tree::below(&expected, part), &tree::below(&found, part));
    }
    let table = String::from_utf8_lossy(&found["eval/epoch-000003.csv"]);
    assert!(table.contains(",eval:jpeg incompressibility,"), "{table}");
}

#[test]
fn a_rewarder_that_does_not_know_what_is_held_out_is_told_of() {
    let mut fleet = fleet(&format!("reward_task = {SUM:?}"));
    fleet.one_of_each();
    let status = fleet.service("learner").ends();
    assert!(!status.success(), "{status}");
    let said = fleet.service("learner").text();
    let part = "expected a component \\\"eval:jpeg incompressibility\\\", found none";
    assert!(said.contains(part) || said.contains(&part.replace('\\', "")), "{said}");
    assert!(said.contains("eval_rewards"), "{said}");
}

#[test]
fn a_rewarder_with_another_sum_is_refused_by_the_learner() {
    let mut fleet = fleet("reward_task = \"jpeg compressibility\"");
    fleet.one_of_each();
    let learner = fleet.inspector("learner");
    assert!(learner.reaches("trajectories_invalid", 1) >= 1);
    let said = fleet.service("learner").text();
    assert!(said.contains("task: expected 0.7*jpeg"), "{said}");
    assert!(said.contains("found jpeg compressibility"), "{said}");
}
