//! A hostile client with access to the ports and to Redis. Its lies are refused by name, and the run ends
//! with the same bytes as an undisturbed run.

use ddpo_broadcast::orders::Delivery;
use ddpo_delivery::destination::Destination;
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_delivery::run::RunClient;
use ddpo_delivery::uplink::{OutgoingTrajectory, PendingReceipt, Uplink, UplinkSettings};
use ddpo_proto::convert::run::RunDescription;
use ddpo_proto::stream::{GivenScore, Opening, Receipt, TrajectoryIdentity, Verdict};
use ddpo_rollout::facts::ChainFacts;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::{Component, Score};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use ddpo_test_tools::needs;
use ddpo_tests::services::fleet::RUN_ID;
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig, PATIENCE, toy, until};
use ddpo_tests::tree;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// A change of an honest opening.
type Lie = fn(&mut Opening);

/// Lies about the form of a trajectory, which rewarder and learner refuse, and a part of the reason.
const ABOUT_THE_FORM: [(Lie, &str); 8] = [
    (|one| one.header.shape = LARGE, "state shape: expected"),
    (|one| one.header.dtype = StateDtype::F16, "state dtype: expected F32, found F16"),
    (|one| one.header.scheduler_digest = Digest([9; 32]), "scheduler digest: expected"),
    (|one| one.header.timesteps = moved(&one.header), "timesteps: expected"),
    (|one| one.header.random_steps = [1].into(), "random steps: expected"),
    (with_steps_beyond_the_run, "timesteps: expected"),
    (|one| one.header.kept_states = TrajectoryHeader::all_states(5), "kept states: expected"),
    (|one| one.header.purpose = Purpose::Rollout, "kept states: expected"),
];

/// Lies about the order, which the learner refuses.
const ABOUT_THE_ORDER: [(Lie, &str); 7] = [
    (|one| one.identity.run_id = "nope".into(), "run: expected end-to-end, found nope"),
    (|one| one.header.weights_digest = Digest([9; 32]), "weights digest: expected"),
    (|one| one.header.coordinates.run_seed += 1, "run seed: expected"),
    (|one| one.header.coordinates.epoch = 7, "epoch: expected 0, found 7"),
    (|one| one.header.coordinates.sample = 1_000_000, "expected a sample below"),
    (|one| one.header.policy_version = PolicyVersion(9), "nobody waits for its batch"),
    (foreign_and_large, "run: expected end-to-end, found nope"),
];

const LARGE: StateShape = StateShape { channels: 3, height: 1024, width: 1024 };

fn moved(header: &TrajectoryHeader) -> std::sync::Arc<[i64]> {
    header.timesteps.iter().map(|timestep| timestep + 1).collect()
}

/// Claims a chain of 40 steps, of which those from 30 on are random.
fn with_steps_beyond_the_run(opening: &mut Opening) {
    opening.header.timesteps = (0..40).rev().collect();
    opening.header.random_steps = (30..39).collect();
    opening.header.kept_states = [40].into();
}

fn foreign_and_large(opening: &mut Opening) {
    opening.identity.run_id = "nope".into();
    opening.header.shape = StateShape { channels: 4, height: 1024, width: 1024 };
}

/// A client that knows the run and an order.
struct Hostile {
    run: RunDescription,
    delivery: Delivery,
    learner: Uplink,
    rewarder: Uplink,
}

impl Hostile {
    /// Learns the run and an order of this purpose from the learner and from Redis, and hands all orders that
    /// it took back.
    fn new(fleet: &mut Fleet, purpose: Purpose) -> Self {
        let uplink = |fleet: &mut Fleet, name, destination| {
            let address = fleet.address(name);
            let settings = UplinkSettings::new(destination, vec![fleet.url(address)]);
            let started = block_on(async { Uplink::start(settings.clone(), &Handle::current()) });
            (settings, started.unwrap())
        };
        let (settings, learner) = uplink(fleet, "learner", Destination::Learner);
        let (_, rewarder) = uplink(fleet, "rewarder", Destination::Rewarder);
        let client = RunClient::new(&settings).unwrap();
        let run = until("the description of the run", || block_on(client.describe()).ok());
        let store = fleet.store();
        let mut others = Vec::new();
        let delivery = until("an order", || {
            let soon = Instant::now() + Duration::from_secs(1);
            let delivery: Delivery = block_on(store.next("spy", soon)).unwrap()?;
            if delivery.order.purpose == purpose {
                return Some(delivery);
            }
            others.push(delivery);
            None
        });
        for taken in others.iter().chain([&delivery]) {
            block_on(store.hand_back(taken)).unwrap();
        }
        Self { run, delivery, learner, rewarder }
    }

    /// Returns an opening that fits the run and the order.
    fn honest(&self) -> Opening {
        let order = &self.delivery.order;
        let form = self.run.trajectories.form.as_ref().unwrap();
        let ChainFacts::Known(chain) = &form.chain else { panic!("{:?}", form.chain) };
        let epoch = chain.of(order.purpose, order.run_seed, order.epoch);
        let (run_seed, sample) = (order.run_seed, order.samples[0]);
        let identity = TrajectoryIdentity {
            trajectory_id: format!("{RUN_ID}/hostile"),
            run_id: order.run_id.clone(),
            order_id: order.order_id.clone(),
            attempt: 1,
            worker_id: "hostile".into(),
            incarnation: 1,
            track: order.weights.track,
            traceparent: None,
        };
        let header = TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed, epoch: order.epoch, sample },
            purpose: order.purpose,
            policy_version: order.weights.version,
            weights_digest: order.weights_digest,
            scheduler_digest: epoch.digest,
            dtype: form.dtype,
            shape: form.shape.unwrap(),
            timesteps: chain.timesteps.clone(),
            random_steps: epoch.random_steps,
            kept_states: epoch.kept_states,
        };
        Opening { identity, header }
    }

    fn lying(&self, lie: Lie) -> Opening {
        let mut opening = self.honest();
        lie(&mut opening);
        opening
    }

    /// Sends a whole trajectory of zeros with this score to the learner.
    fn scored(&self, score: Score) -> Receipt {
        let Opening { identity, header } = self.honest();
        let state = || vec![0; header.shape.elements() * header.dtype.size()].into();
        let states = header.kept_states.iter().map(|_| state()).collect();
        let log_probs = vec![0.0; header.random_steps.len()];
        let trajectory =
            IncomingTrajectory { identity, header, states, log_probs, score: None, reward: None };
        let given = GivenScore { score, reward: self.run.reward.id() };
        answered(self.learner.send(trajectory, Some(given)).unwrap())
    }
}

/// A score of the run's reward.
fn kilobyte() -> Score {
    let size = Component { name: "jpeg_kilobytes".into(), value: 1.0 };
    Score { reward: -1.0, components: vec![size] }
}

fn answered(receipt: PendingReceipt) -> Receipt {
    block_on(async { timeout(PATIENCE, receipt).await }).unwrap().unwrap()
}

/// Opens a trajectory and returns the receipt for its header: no state is sent.
fn refused(uplink: &Uplink, opening: Opening) -> Receipt {
    let (open, receipt): (OutgoingTrajectory, _) = uplink.open(opening).unwrap();
    let receipt = answered(receipt);
    drop(open);
    receipt
}

#[track_caller]
fn assert_refused(receipt: &Receipt, part: &str) {
    let is_refusal = matches!(receipt.verdict, Verdict::Invalid | Verdict::Stale);
    assert!(is_refusal && receipt.reason.contains(part), "{part}: {receipt:?}");
}

/// Returns the resident memory of a service in bytes.
fn resident(fleet: &mut Fleet, name: &str) -> f64 {
    let page = fleet.metrics(name);
    let line =
        page.lines().find_map(|line| line.strip_prefix("ddpo_memory_bytes{kind=\"resident\"} "));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Plants work orders that no worker may draw.
fn plant_orders(fleet: &Fleet, delivery: &Delivery) {
    let orders = format!("ddpo:{{{RUN_ID}}}:orders");
    let honest = serde_json::to_value(&delivery.order).unwrap();
    for (key, value) in [
        ("purpose", serde_json::json!("weights")),
        ("samples", serde_json::json!([])),
        ("run_id", serde_json::json!("nope")),
        ("weights", serde_json::json!({ "version": 999_999, "track": honest["weights"]["track"] })),
    ] {
        let mut order = honest.clone();
        order[key] = value;
        fleet.redis.command(&["XADD", &orders, "*", "id", "planted", "order", &order.to_string()]);
    }
}

#[test]
fn lies_are_refused_before_any_state_and_change_no_byte_of_the_run() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    until("the rewarder is ready", || {
        fleet.metrics("rewarder").contains("ddpo_condition{condition=\"model\"} 1").then_some(())
    });
    let hostile = Hostile::new(&mut fleet, Purpose::Evaluation);
    for (lie, part) in ABOUT_THE_FORM {
        assert_refused(&refused(&hostile.rewarder, hostile.lying(lie)), part);
        assert_refused(&refused(&hostile.learner, hostile.lying(lie)), part);
    }
    for (lie, part) in ABOUT_THE_ORDER {
        assert_refused(&refused(&hostile.learner, hostile.lying(lie)), part);
    }
    let absurd = Score { reward: 3.4e38, ..kilobyte() };
    assert_refused(&hostile.scored(absurd), "reward: expected a finite number between -1e12");
    let invented = |index| Component { name: format!("invented_{index}"), value: 1.0 };
    let many = Score { reward: 1.0, components: (0..200).map(invented).collect() };
    assert_refused(&hostile.scored(many), "jpeg_kilobytes");
    plant_orders(&fleet, &hostile.delivery);
    until("the learner removes the planted orders", || {
        fleet.service("learner").line("removed orders that no batch waits for")
    });
    // Four trajectories with states of 16.8 MB stay open until the end of the run.
    let before = resident(&mut fleet, "learner");
    let open: Vec<_> = (0..4)
        .map(|_| {
            let (open, receipt) = hostile.learner.open(hostile.lying(foreign_and_large)).unwrap();
            assert_refused(&answered(receipt), "run: expected end-to-end, found nope");
            open
        })
        .collect();
    let after = resident(&mut fleet, "learner");
    println!("resident memory of the learner: {:.1} MB, then {:.1} MB", before / 1e6, after / 1e6);
    assert!(after - before < 16e6, "{before} {after}");
    fleet.sampler("sampler");
    fleet.finishes("learner");
    drop(open);
    let log = fleet.service("sampler").text();
    assert!(!log.contains("could not read an order"), "{log}");
    assert!(!log.contains("batch failed"), "{log}");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

/// A well-formed trajectory of zeros, which the weights that it names cannot have drawn.
#[test]
fn a_false_trajectory_is_drawn_again_and_changes_no_byte_of_the_run() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    let hostile = Hostile::new(&mut fleet, Purpose::Rollout);
    let receipt = hostile.scored(kilobyte());
    assert_eq!(receipt.verdict, Verdict::Accepted, "{receipt:?}");
    fleet.sampler("sampler");
    fleet.finishes("learner");
    let log = fleet.service("learner").text();
    assert!(log.contains("before the first update of epoch 0, sample 0, step 0"), "{log}");
    assert!(log.contains("drawing 1 of 16 samples again, redraw 1 of 3: "), "{log}");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}
