//! Tests of the ledger.

use super::*;
use bytes::Bytes;
use ddpo_rollout::chain::{Chain, NeededStates};
use ddpo_rollout::dtype::Dtype;
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::order::Track;
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::{Component, Score};
use ddpo_rollout::trajectory::{PolicyVersion, SampleCoordinates, Trajectory};
use ddpo_rollout::trajectory::{StateDtype, StateShape};

const SHAPE: StateShape = StateShape { channels: 1, height: 1, width: 1 };

fn reward() -> RewardSpec {
    RewardSpec::plain("torchscript:smile.pt".parse().unwrap())
}

fn ledger() -> Ledger {
    let chain = Chain {
        timesteps: [9].into(),
        random_steps: [].into(),
        digest: Digest([1; 32]),
        window: None,
        needed: NeededStates::Image,
    };
    let form = TrajectoryForm {
        dtype: StateDtype::F32,
        shape: Some(SHAPE),
        chain: ChainFacts::Known(chain),
    };
    let trajectories = TrajectoryFacts { run_id: "run".into(), form: Some(form) };
    Ledger::new(RunFacts { trajectories, reward: reward() }, 3)
}

fn version(number: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(number), track: Track::Policy }
}

fn awaited(samples: u32) -> Awaited {
    Awaited {
        key: BatchKey::Epoch(3),
        run_seed: 7,
        samples,
        weights: version(3),
        weights_digest: Digest([2; 32]),
    }
}

fn offer(sample: u32, change: impl FnOnce(&mut TrajectoryHeader)) -> Offer {
    let mut header = TrajectoryHeader {
        coordinates: SampleCoordinates { run_seed: 7, epoch: 3, sample },
        purpose: Purpose::Rollout,
        policy_version: PolicyVersion(3),
        weights_digest: Digest([2; 32]),
        scheduler_digest: Digest([1; 32]),
        dtype: StateDtype::F32,
        shape: SHAPE,
        timesteps: [9].into(),
        random_steps: [].into(),
        kept_states: [1].into(),
    };
    change(&mut header);
    let weights = version(header.policy_version.0);
    let states = vec![Bytes::from_static(&[0; 4]); header.kept_states.len()];
    let log_probs = vec![0.0; header.random_steps.len()];
    let trajectory = Trajectory::new(header, states, log_probs).unwrap();
    let scored = ScoredTrajectory { trajectory, score: Score::plain(sample as f32) };
    Offer { run_id: "run".into(), weights, reward: reward().id(), scored }
}

#[test]
fn accepts_each_sample_once_and_returns_samples_in_order() {
    let ledger = ledger();
    ledger.expect(awaited(3));
    for sample in [2, 0] {
        assert_eq!(ledger.offer(offer(sample, |_| {})), Decision::Accepted);
    }
    assert_eq!(ledger.offer(offer(2, |_| {})), Decision::Duplicate);
    assert_eq!(ledger.missing(BatchKey::Epoch(3)), [1]);
    assert_eq!((ledger.awaited(), ledger.held()), (1, 2));
    assert!(ledger.take(BatchKey::Epoch(3)).is_none());
    assert!(!ledger.wait(BatchKey::Epoch(3), Duration::ZERO));
    assert_eq!(ledger.offer(offer(1, |_| {})), Decision::Accepted);
    assert!(ledger.wait(BatchKey::Epoch(3), Duration::ZERO));
    let batch = ledger.take(BatchKey::Epoch(3)).unwrap();
    let rewards: Vec<f32> = batch.iter().map(|one| one.score.reward).collect();
    assert_eq!(rewards, [0.0, 1.0, 2.0]);
    assert_eq!(ledger.offer(offer(1, |_| {})), Decision::Duplicate);
    let counts = ledger.counts();
    assert_eq!((counts.accepted, counts.duplicate), (3, 2));
}

#[test]
fn rejects_trajectories_that_do_not_match_the_order() {
    let ledger = ledger();
    ledger.expect(awaited(2));
    let invalid = |offer: Offer| match ledger.offer(offer) {
        Decision::Invalid(reason) => reason,
        other => panic!("{other:?}"),
    };
    let other_run = Offer { run_id: "walk".into(), ..offer(0, |_| {}) };
    assert_eq!(invalid(other_run), "run: expected run, found walk");
    let other = RewardSpec { dtype: Dtype::Bf16, ..reward() };
    let (expected, found) = (reward().id(), other.id());
    let other_reward = Offer { reward: other.id(), ..offer(0, |_| {}) };
    assert_eq!(invalid(other_reward), format!("reward: expected {expected}, found {found}"));
    let mut invented = offer(0, |_| {});
    invented.scored.score.components = vec![Component { name: "invented".into(), value: 1.0 }; 200];
    assert!(invalid(invented).contains("expected 0, found 200; \"invented\""));
    let shifted = offer(0, |header| header.timesteps = [8].into());
    assert_eq!(invalid(shifted), "timesteps: expected [9], found [8]");
    let random = offer(0, |header| header.random_steps = [0].into());
    assert_eq!(invalid(random), "random steps: expected [], found [0]");
    let kept = offer(0, |header| header.kept_states = [0, 1].into());
    assert_eq!(invalid(kept), "kept states: expected [1], found [0, 1]");
    let digest = offer(0, |header| header.weights_digest = Digest([3; 32]));
    assert!(invalid(digest).starts_with("weights digest: expected 0202"));
    let scheduler = offer(0, |header| header.scheduler_digest = Digest([3; 32]));
    assert!(invalid(scheduler).starts_with("scheduler digest: expected 0101"));
    let seed = offer(0, |header| header.coordinates.run_seed = 8);
    assert_eq!(invalid(seed), "run seed: expected 7, found 8");
    assert_eq!(invalid(offer(2, |_| {})), "expected a sample below 2, found 2");
    assert_eq!(
        invalid(offer(0, |header| header.policy_version = PolicyVersion(4))),
        "weights: expected v3, found v4"
    );
    assert_eq!(ledger.counts().accepted, 0);
    assert_eq!(ledger.held(), 0);
}

#[test]
fn early_and_late_samples_are_stale_and_trained_ones_are_duplicates() {
    let ledger = ledger();
    ledger.expect(awaited(2));
    let old = offer(0, |header| header.policy_version = PolicyVersion(2));
    assert!(matches!(ledger.offer(old), Decision::Stale(_)));
    let early = offer(0, |header| header.coordinates.epoch = 4);
    assert!(matches!(ledger.offer(early), Decision::Stale(_)));
    let trained = offer(0, |header| header.coordinates.epoch = 2);
    assert_eq!(ledger.offer(trained), Decision::Duplicate);
}

#[test]
fn wait_returns_when_another_thread_completes_the_batch() {
    let ledger = ledger();
    ledger.expect(awaited(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(BatchKey::Epoch(3), Duration::from_secs(20)));
        assert_eq!(ledger.offer(offer(0, |_| {})), Decision::Accepted);
        assert!(waiting.join().unwrap());
    });
}

/// Offers the header of an offer to [`Ledger::admit`].
fn admit(ledger: &Ledger, offer: &Offer) -> Result<(), Decision> {
    ledger.admit(&offer.run_id, offer.weights, offer.scored.trajectory.header())
}

#[test]
fn admits_headers_of_awaited_samples_only() {
    let ledger = ledger();
    assert!(matches!(admit(&ledger, &offer(0, |_| {})), Err(Decision::Stale(_))));
    ledger.expect(awaited(2));
    assert_eq!(admit(&ledger, &offer(0, |_| {})), Ok(()));
    assert_eq!(ledger.offer(offer(0, |_| {})), Decision::Accepted);
    assert_eq!(admit(&ledger, &offer(0, |_| {})), Err(Decision::Duplicate));
    let early = offer(1, |header| header.coordinates.epoch = 4);
    assert!(matches!(admit(&ledger, &early), Err(Decision::Stale(_))));
    let old = offer(1, |header| header.policy_version = PolicyVersion(2));
    assert!(matches!(admit(&ledger, &old), Err(Decision::Stale(_))));
    let counts = ledger.counts();
    assert_eq!((counts.accepted, counts.duplicate, counts.stale), (1, 1, 3));
}

#[test]
fn refuses_lies_of_a_header_at_admission_with_the_message_of_an_offer() {
    let lies: [fn(&mut TrajectoryHeader); 9] = [
        |header| header.timesteps = [8].into(),
        |header| header.random_steps = [0].into(),
        |header| header.shape = StateShape { channels: 4, height: 1024, width: 1024 },
        |header| header.dtype = StateDtype::F16,
        |header| header.scheduler_digest = Digest([3; 32]),
        |header| header.weights_digest = Digest([3; 32]),
        |header| header.coordinates.run_seed = 8,
        |header| header.coordinates.sample = 1_000_000,
        |header| header.policy_version = PolicyVersion(4),
    ];
    let ledger = ledger();
    ledger.expect(awaited(2));
    for (index, lie) in lies.into_iter().enumerate() {
        let mut header = offer(0, |_| {}).scored.trajectory.header().clone();
        lie(&mut header);
        let refused = ledger.admit("run", version(header.policy_version.0), &header);
        assert!(matches!(refused, Err(Decision::Invalid(_))), "{index}: {refused:?}");
    }
    let foreign = Offer { run_id: "nope".into(), ..offer(0, |_| {}) };
    let reason = "run: expected run, found nope".to_owned();
    assert_eq!(admit(&ledger, &foreign), Err(Decision::Invalid(reason)));
    assert_eq!(ledger.counts().invalid, 10);
}

#[test]
fn refuses_an_evaluation_sample_of_another_epoch() {
    let ledger = ledger();
    let key = BatchKey::Evaluation(version(3));
    ledger.expect(Awaited { key, ..awaited(2) });
    let of = |epoch| {
        let evaluated = |header: &mut TrajectoryHeader| {
            header.purpose = Purpose::Evaluation;
            header.coordinates.epoch = epoch;
        };
        ledger.offer(offer(0, evaluated))
    };
    assert_eq!(of(1), Decision::Invalid("epoch: expected 0, found 1".into()));
    assert_eq!(of(0), Decision::Accepted);
}

#[test]
fn refuses_absurd_rewards_by_name() {
    let ledger = ledger();
    ledger.expect(awaited(2));
    let mut absurd = offer(0, |_| {});
    absurd.scored.score.reward = 3.4e38;
    let found = ledger.offer(absurd);
    let expected = "reward: expected a finite number between -1e12 and 1e12, found 3.4e38";
    assert_eq!(found, Decision::Invalid(expected.into()));
}
