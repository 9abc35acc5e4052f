//! Services with a sum of rewards and held-out rewards end with the same bytes as `ddpo train`.

use ddpo_test_tools::needs;
use ddpo_tests::services::{Fleet, FleetConfig, toy};
use ddpo_tests::tree;

const SUM: &str = "0.7*jpeg compressibility - 0.2*jpeg incompressibility";

/// Returns the toy run with a sum of rewards that is normalised over all samples so far.
fn run() -> String {
    let more = format!(
        "reward = {SUM:?}\nreward_scale = \"normalised\"\nadvantage = \"running\"\n\
         eval_reward = [\"jpeg incompressibility\"]\n"
    );
    toy::RUN.to_owned() + &more
}

fn fleet() -> Fleet {
    let rewarder = "reward_threads = 1".to_owned();
    Fleet::new(FleetConfig { run: run(), rewarder, ..FleetConfig::default() })
}

#[test]
fn services_train_on_a_sum_to_the_same_bytes_as_one_process() {
    needs!("redis-server");
    let mut fleet = fleet();
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
