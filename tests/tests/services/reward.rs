//! The reward belongs to the run: the learner's settings determine every part of it, and rewarders receive it
//! from the learner.

use ddpo_delivery::destination::Destination;
use ddpo_delivery::run::RunClient;
use ddpo_delivery::uplink::UplinkSettings;
use ddpo_rollout::reward::RewardSpec;
use ddpo_test_tools::needs;
use ddpo_tests::services::wait::until;
use ddpo_tests::services::{Fleet, FleetConfig, toy};
use ddpo_tests::tree;

/// Every part of a reward differs from its default: expression, held-out reward, form of the age
/// reward, network, dtype and pixel map.
fn run() -> String {
    let more = "reward = \"over50 - 0.01*jpeg compressibility\"\nreward_model = \"toy-ages-32\"\n\
                age_reward = \"log-odds\"\nreward_dtype = \"bf16\"\nreward_compat = \"seed\"\n\
                eval_reward = [\"under30\"]\n";
    toy::RUN.to_owned() + more
}

fn recorded(run_toml: &[u8]) -> RewardSpec {
    let table: toml::Table = std::str::from_utf8(run_toml).unwrap().parse().unwrap();
    table[RewardSpec::TABLE].clone().try_into().unwrap()
}

#[test]
fn services_apply_every_part_of_the_reward_like_one_process() {
    needs!("redis-server");
    let rewarder = "reward_threads = 1".to_owned();
    let mut fleet = Fleet::new(FleetConfig { run: run(), rewarder, ..FleetConfig::default() });
    fleet.one_of_each();
    fleet.finishes("learner");
    let expected = toy::trained(&run());
    let found = tree::read(&fleet.folder().join("run"));
    for part in [format!("checkpoints/epoch-{:06}/", toy::EPOCHS).as_str(), "eval/"] {
        tree::assert_same(&tree::below(&expected, part), &tree::below(&found, part));
    }
    assert_eq!(recorded(&found["run.toml"]), recorded(&expected["run.toml"]));
}

#[test]
fn the_learner_describes_the_reward_that_run_toml_records() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig { run: run(), ..FleetConfig::default() });
    fleet.learner("learner", &[]);
    let address = fleet.address("learner");
    let url = fleet.url(address);
    let settings = UplinkSettings::new(Destination::Learner, vec![url]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let client = RunClient::new(&settings).unwrap();
    let described =
        until("the learner describes its run", || runtime.block_on(client.describe()).ok());
    let path = fleet.folder().join("run/run.toml");
    let text = until("run.toml", || std::fs::read(&path).ok());
    assert_eq!(described.reward, recorded(&text));
    assert_eq!(described.reward.digest(), recorded(&text).digest());
}
