//! The staleness of a batch: one version with `max_staleness = 1`, and none by default.

use ddpo_test_tools::needs;
use ddpo_tests::run;
use ddpo_tests::services::{Fleet, FleetConfig, toy};
use serde_json::Value;

/// Returns the lags in the metrics of each epoch of a finished run; empty if all lags are 0.
fn lags(fleet: &Fleet) -> Vec<Vec<u64>> {
    let age = |group: &Value| {
        assert!(group["trajectories"].as_u64() > Some(0), "{group}");
        group["lag"].as_u64().unwrap()
    };
    let epoch = |line: &serde_json::Map<String, Value>| {
        line.get("staleness").and_then(Value::as_array).into_iter().flatten().map(age).collect()
    };
    run::metrics(&fleet.folder().join("run")).iter().map(epoch).collect()
}

fn stale_fleet() -> Fleet {
    let more = "max_staleness = 1\nobjective = \"decoupled\"\n";
    let run = toy::RUN.replace("num_epochs = 3", "num_epochs = 4") + more;
    Fleet::new(FleetConfig { run, ..FleetConfig::default() })
}

#[test]
fn by_default_every_batch_has_the_learner_s_weights() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.one_of_each();
    fleet.finishes("learner");
    assert_eq!(lags(&fleet), [[]; 3] as [[u64; 0]; 3]);
}

#[test]
fn with_max_staleness_one_samplers_run_one_epoch_ahead() {
    needs!("redis-server");
    let mut fleet = stale_fleet();
    fleet.one_of_each();
    fleet.finishes("learner");
    // The first epoch has no earlier weights.
    assert_eq!(lags(&fleet), [vec![], vec![1], vec![1], vec![1]]);
}

#[test]
fn after_a_resume_no_batch_exceeds_max_staleness() {
    needs!("redis-server");
    let mut fleet = stale_fleet();
    fleet.one_of_each();
    toy::saved(fleet.folder(), 2);
    fleet.service("learner").kill();
    assert!(!fleet.folder().join("run/checkpoints/epoch-000004").exists(), "killed too late");
    fleet.start_again("learner");
    fleet.finishes("learner");
    let lags = lags(&fleet);
    assert_eq!(lags.len(), 4);
    assert!(lags.iter().flatten().all(|&lag| lag <= 1), "{lags:?}");
}
