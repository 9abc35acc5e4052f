//! Tests of conversions between wire and domain.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use ddpo_proto::convert::header::UnsendableHeader;
use ddpo_proto::convert::{header, reply, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::{GivenScore, Opening, Receipt, TrajectoryIdentity, Verdict};
use ddpo_proto::wire;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::{Component, Score};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use proptest::prelude::*;
use prost::Message;

/// Returns a header of `steps` steps, all random except the last.
fn opening(sample: u32, steps: usize, shape: [usize; 3]) -> Opening {
    let [channels, height, width] = shape;
    Opening {
        identity: TrajectoryIdentity {
            trajectory_id: format!("run/0/{sample}"),
            run_id: "run".to_owned(),
            order_id: "order".to_owned(),
            attempt: 1,
            worker_id: "worker".to_owned(),
            incarnation: 7,
            track: Track::Policy,
            traceparent: None,
        },
        header: TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: 1, epoch: 0, sample },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion(3),
            weights_digest: Digest::of(b"weights"),
            scheduler_digest: Digest::of(b"scheduler"),
            dtype: StateDtype::F32,
            shape: StateShape { channels, height, width },
            timesteps: (0..steps as i64).rev().collect(),
            random_steps: (0..steps.saturating_sub(1)).collect(),
            kept_states: TrajectoryHeader::all_states(steps),
        },
    }
}

fn task_score(reward: f32) -> GivenScore {
    let components = vec![Component { name: "bytes".to_owned(), value: 12.0 }];
    GivenScore { score: Score { reward, components }, reward: reward_id("jpeg") }
}

fn reward_id(label: &str) -> RewardId {
    RewardId { label: label.to_owned(), digest: Digest([6; 32]) }
}

fn refused(spoil: impl Fn(&mut wire::TrajectoryHeader)) -> Malformed {
    let limits = Limits::default();
    let mut message = header::to_wire(&opening(0, 3, [3, 8, 8]), &limits).unwrap();
    spoil(&mut message);
    header::from_wire(message, &limits).unwrap_err()
}

#[test]
fn rejects_each_malformed_header_with_its_error() {
    assert_eq!(refused(|m| m.shape = None), Malformed::Missing("shape"));
    assert_eq!(refused(|m| m.order_id.clear()), Malformed::Missing("order_id"));
    assert_eq!(refused(|m| m.dtype = 0), Malformed::Unspecified("dtype"));
    assert_eq!(refused(|m| m.purpose = 0), Malformed::Unspecified("purpose"));
    assert_eq!(refused(|m| m.track = 9), Malformed::Unknown { field: "track", found: 9 });
    let digest = Malformed::DigestLength { field: "weights_digest", found: 31 };
    assert_eq!(refused(|m| m.weights_digest.truncate(31)), digest);
    assert_eq!(refused(|m| m.attempt = 0), Malformed::AttemptZero);
    assert_eq!(refused(|m| m.timesteps.clear()), Malformed::NoTimesteps);
    let many = Malformed::TooManyTimesteps { limit: 1000, found: 1001 };
    assert_eq!(refused(|m| m.timesteps = vec![0; 1001]), many);
    assert_eq!(refused(|m| m.timesteps = vec![3, 2, 4]), Malformed::TimestepsRise(2));
    assert_eq!(refused(|m| m.random_steps = vec![1, 1]), Malformed::RandomStepsNotRising(1));
    let range = Malformed::RandomStepOutOfRange { timesteps: 3, found: 3 };
    assert_eq!(refused(|m| m.random_steps = vec![3]), range);
    let shape = |channels, height, width| Some(wire::Shape { channels, height, width });
    assert_eq!(refused(|m| m.shape = shape(3, 0, 8)), Malformed::ShapeZero("height"));
    let large = Malformed::StateTooLarge { limit: 16 << 20, found: u64::MAX };
    assert_eq!(refused(|m| m.shape = shape(u32::MAX, u32::MAX, u32::MAX)), large);
    let long = Malformed::TextTooLong { field: "worker_id", limit: 1024, found: 1025 };
    assert_eq!(refused(|m| m.worker_id = "w".repeat(1025)), long);
    assert_eq!(refused(|m| m.run_id.push('\n')), Malformed::ControlCharacter("run_id"));
    let whole = refused(|m| {
        m.shape = shape(3, 1024, 1024);
        m.timesteps = vec![0; 1000];
        m.random_steps.clear();
    });
    let found = 3 * 1024 * 1024 * 4 * 1001;
    assert_eq!(whole, Malformed::TrajectoryTooLarge { limit: 1 << 30, found });
}

#[test]
fn refuses_to_send_purposes_that_stay_in_one_process() {
    let mut private = opening(0, 3, [3, 8, 8]);
    private.header.purpose = Purpose::Pretraining;
    let error = header::to_wire(&private, &Limits::default()).unwrap_err();
    assert_eq!(error, UnsendableHeader::Purpose(Purpose::Pretraining));
}

#[test]
fn rejects_each_malformed_score_with_its_error() {
    let limits = Limits { max_score_components: 1, ..Limits::default() };
    let refused = |spoil: &dyn Fn(&mut wire::TrajectoryScore)| {
        let mut message = score::to_wire(&task_score(1.0), &limits).unwrap();
        spoil(&mut message);
        score::from_wire(message, &limits).unwrap_err()
    };
    let infinite = refused(&|m| m.reward = f32::INFINITY);
    assert_eq!(infinite, Malformed::RewardNotFinite(f32::INFINITY));
    assert_eq!(refused(&|m| m.reward_label.clear()), Malformed::Missing("reward_label"));
    let short = Malformed::DigestLength { field: "reward_digest", found: 31 };
    assert_eq!(refused(&|m| m.reward_digest.truncate(31)), short);
    let value = refused(&|m| m.components[0].value = f32::NAN);
    assert_eq!(value, Malformed::ComponentNotFinite(0));
    assert_eq!(refused(&|m| m.components[0].name.clear()), Malformed::Missing("component.name"));
    let many = refused(&|m| m.components.push(m.components[0].clone()));
    assert_eq!(many, Malformed::TooManyComponents { limit: 1, found: 2 });
}

#[test]
fn rejects_each_malformed_reply_with_its_error() {
    let limits = Limits::default();
    let receipt = |verdict| wire::SubmitReply {
        content: Some(wire::submit_reply::Content::Receipt(wire::Receipt {
            verdict,
            ..wire::Receipt::default()
        })),
    };
    let read = |message| reply::from_wire(message, &limits).unwrap_err();
    assert_eq!(read(wire::SubmitReply::default()), reply::MalformedReply::Empty);
    assert_eq!(read(receipt(0)), Malformed::Unspecified("verdict").into());
    assert_eq!(read(receipt(99)), Malformed::Unknown { field: "verdict", found: 99 }.into());
}

fn any_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/äß日._-]{1,40}"
}

fn any_identity() -> impl Strategy<Value = TrajectoryIdentity> {
    let ids = (any_text(), any_text(), any_text(), any_text());
    let rest = (1_u32.., any::<u64>(), any::<bool>(), prop::option::of(any_text()));
    (ids, rest).prop_map(|(ids, (attempt, incarnation, policy, traceparent))| TrajectoryIdentity {
        trajectory_id: ids.0,
        run_id: ids.1,
        order_id: ids.2,
        worker_id: ids.3,
        attempt,
        incarnation,
        track: if policy { Track::Policy } else { Track::Average },
        traceparent,
    })
}

fn any_header() -> impl Strategy<Value = TrajectoryHeader> {
    let dtype = prop_oneof![Just(StateDtype::F32), Just(StateDtype::F16), Just(StateDtype::Bf16)];
    let sides = (1_usize..5, 1_usize..40, 1_usize..40);
    let steps = prop::collection::vec((any::<i64>(), any::<bool>()), 1..60);
    let numbers = any::<(u64, u32, u32, u64, bool)>();
    let digests = any::<([u8; 32], [u8; 32])>();
    (dtype, sides, steps, numbers, digests).prop_map(|(dtype, sides, mut steps, n, digests)| {
        steps.sort_by_key(|step| std::cmp::Reverse(step.0));
        let is_random = |(k, step): (usize, &(i64, bool))| step.1.then_some(k);
        let random_steps: Vec<usize> = steps.iter().enumerate().filter_map(is_random).collect();
        let kept = random_steps.iter().copied().chain([steps.len()]);
        TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: n.0, epoch: n.1, sample: n.2 },
            purpose: if n.4 { Purpose::Rollout } else { Purpose::Evaluation },
            policy_version: PolicyVersion(n.3),
            weights_digest: Digest(digests.0),
            scheduler_digest: Digest(digests.1),
            dtype,
            shape: StateShape { channels: sides.0, height: sides.1, width: sides.2 },
            timesteps: steps.iter().map(|step| step.0).collect(),
            kept_states: kept.collect(),
            random_steps: random_steps.into(),
        }
    })
}

fn any_score() -> impl Strategy<Value = GivenScore> {
    let value = || any::<f32>().prop_filter("finite", |value| value.is_finite());
    let component = (any_text(), value()).prop_map(|(name, value)| Component { name, value });
    let components = prop::collection::vec(component, 0..8);
    (value(), components, any_text()).prop_map(|(reward, components, label)| GivenScore {
        score: Score { reward, components },
        reward: reward_id(&label),
    })
}

/// Encodes and decodes a message.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn headers_survive_a_round_trip(identity in any_identity(), header in any_header()) {
        let (opening, limits) = (Opening { identity, header }, Limits::default());
        let message = header::to_wire(&opening, &limits).unwrap();
        prop_assert!(message.encoded_len() <= limits.max_message_bytes());
        prop_assert_eq!(header::from_wire(sent(&message), &limits).unwrap(), opening);
    }

    #[test]
    fn scores_survive_a_round_trip(scored in any_score()) {
        let limits = Limits::default();
        let message = score::to_wire(&scored, &limits).unwrap();
        prop_assert_eq!(score::from_wire(sent(&message), &limits).unwrap(), scored);
    }

    #[test]
    fn receipts_survive_a_round_trip(
        slot: u32,
        trajectory_id in any_text(),
        verdict in proptest::sample::select(Verdict::ALL.to_vec()),
        reason in any_text(),
    ) {
        let receipt = Receipt { trajectory_id, verdict, reason };
        let (reply, limits) = (reply::Reply::Receipt { slot, receipt }, Limits::default());
        let message = reply::to_wire(&reply, &limits);
        prop_assert_eq!(reply::from_wire(sent(&message), &limits).unwrap(), reply);
    }

    #[test]
    fn random_bytes_are_converted_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = wire::TrajectoryHeader::decode(bytes.as_slice()) {
            let _ = header::from_wire(message, &Limits::default());
        }
        if let Ok(message) = wire::SubmitReply::decode(bytes.as_slice()) {
            let _ = reply::from_wire(message, &Limits::default());
        }
    }
}
