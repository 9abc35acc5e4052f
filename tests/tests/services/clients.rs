//! The services with the official gRPC client for Python, which uses reflection and no code of ddpo.

use ddpo_broadcast::orders::Delivery;
use ddpo_test_tools::needs;
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig, python, until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_official_client_watches_trajectories_grow_in_every_service() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::fake(10_000, 16, 200));
    fleet.one_of_each();
    fleet.inspector("learner").reaches("trajectories_accepted", 1);
    for (name, service) in [
        ("sampler", None),
        ("rewarder", Some("ddpo.v1.Rewarder")),
        ("learner", Some("ddpo.v1.Learner")),
    ] {
        let address = fleet.address(name).to_string();
        let lines = python::client("watch.py", &[&address, "--growing=3"], "");
        let seen = parse(lines.last().unwrap());
        assert_eq!((&seen["health"], &seen["service"]), (&json!("SERVING"), &json!(name)));
        assert_eq!(seen["run_id"], "end-to-end");
        let services = seen["services"].as_array().unwrap();
        for expected in ["ddpo.v1.Inspector", "grpc.health.v1.Health"].into_iter().chain(service) {
            assert!(services.contains(&json!(expected)), "{expected}: {seen}");
        }
        assert!(seen["pictures"].as_u64() >= Some(3), "{seen}");
        let grew = seen["grew"].as_object().unwrap();
        assert!(grew.len() >= 3, "{seen}");
        for steps in grew.values() {
            let steps: Vec<_> = steps.as_array().unwrap().iter().map(Value::as_u64).collect();
            assert!(steps.is_sorted(), "{name}: {seen}");
        }
        // The metrics count at least as many.
        let metrics = fleet.metrics(name);
        let about = format!("ddpo_build_info{{service=\"ddpo-{name}\"");
        assert!(metrics.contains(&about), "{metrics}");
    }
}

/// Returns the facts of an order that the Python sampler needs.
fn described(fleet: &Fleet, delivery: &Delivery) -> String {
    let spec = block_on(fleet.store().run_spec()).unwrap().unwrap();
    let order = &delivery.order;
    json!({
        "run_id": order.run_id,
        "order_id": order.order_id,
        "version": order.weights.version.0,
        "weights_digest": order.weights_digest.to_string(),
        "scheduler_digest": spec.scheduler_digest.to_string(),
        "run_seed": order.run_seed,
        "epoch": order.epoch,
        "samples": order.samples,
        "shape": {"channels": 3, "height": 8, "width": 8},
        "timesteps": [3, 2, 1, 0],
        "random_steps": [0, 1, 2],
    })
    .to_string()
}

#[test]
fn a_python_sampler_gets_the_expected_receipt_for_each_trajectory() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::fake(2, 4, 0));
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    let address = fleet.address("rewarder").to_string();
    let (store, rewarder) = (fleet.store(), fleet.inspector("rewarder"));
    for epoch in 0..2 {
        let delivery = until("an order", || {
            let soon = Instant::now() + Duration::from_secs(1);
            block_on(async { store.next("python", soon).await }).unwrap()
        });
        assert_eq!((delivery.order.epoch, delivery.order.samples.len()), (epoch, 4));
        let lines = python::client("fake_sampler.py", &[&address], &described(&fleet, &delivery));
        let receipts: Vec<Value> = lines.iter().map(|line| parse(line)).collect();
        assert_eq!(receipts.len(), EXPECTED.len(), "{receipts:#?}");
        for (receipt, (case, verdict, reason)) in receipts.iter().zip(EXPECTED) {
            assert_eq!((&receipt["case"], &receipt["verdict"]), (&json!(case), &json!(verdict)));
            assert!(receipt["reason"].as_str().unwrap().contains(reason), "{receipt}: {reason}");
        }
        if epoch == 0 {
            assert!(rewarder.status().unwrap().serving);
        }
        block_on(store.acknowledge(&delivery)).unwrap();
    }
    // Both epochs are complete with each sample once, and no service has exited.
    fleet.finishes("learner");
    let state = std::fs::read_to_string(fleet.folder().join("run/fake.json")).unwrap();
    let state = parse(&state);
    assert_eq!((state["epoch"].as_u64(), state["trained"].as_u64()), (Some(2), Some(8)));
}

/// The verdict for each case of `fake_sampler.py`, and a part of the reason.
const EXPECTED: [(&str, &str, &str); 13] = [
    ("valid", "VERDICT_ACCEPTED", ""),
    ("duplicated", "VERDICT_DUPLICATE", "the learner has it"),
    ("stale", "VERDICT_STALE", "nobody waits for its batch"),
    ("oversized", "VERDICT_INVALID", "shape: expected states of at most 16777216 bytes"),
    ("misshapen", "VERDICT_INVALID", "expected state 0 at byte 768, found state 1 at byte 0"),
    ("nan", "VERDICT_INVALID", "x_0: the value at offset 0 of the state is not finite"),
    ("nan between", "VERDICT_INVALID", "state 1: the value at offset 0 is not finite"),
    ("truncated", "VERDICT_INVALID", "expected 5 states before it, found 4"),
    ("corrupt", "VERDICT_INVALID", "expected crc32"),
    ("digest", "VERDICT_INVALID", "weights digest: expected"),
    ("valid", "VERDICT_ACCEPTED", ""),
    ("valid", "VERDICT_ACCEPTED", ""),
    ("valid", "VERDICT_ACCEPTED", ""),
];
