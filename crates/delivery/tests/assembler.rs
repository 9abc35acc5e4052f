//! Tests of the assembler with valid, malformed and random frames.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use ddpo_delivery::assembler::{AssemblerEvent, FrameAssembler, StreamError};
use ddpo_delivery::destination::Destination;
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::wire::{self, TrajectoryFrame, trajectory_frame::Content};
use proptest::prelude::*;
use support::*;

fn assembler(destination: Destination) -> FrameAssembler {
    let mut assembler = FrameAssembler::new(destination, Limits::default());
    assembler.grant(4);
    assembler
}

/// Returns the error of the first trajectory after `spoil`.
fn rejection(destination: Destination, spoil: impl Fn(&mut Vec<TrajectoryFrame>)) -> Malformed {
    let score = task_score(1.0);
    let scored = (destination == Destination::Learner).then_some(&score);
    let mut frames = frames(0, &small(0), scored, 100);
    spoil(&mut frames);
    let mut assembler = assembler(destination);
    let mut errors = frames.into_iter().filter_map(|frame| match assembler.push(frame).unwrap() {
        Some(AssemblerEvent::Rejected { error, .. }) => Some(error),
        _ => None,
    });
    let error = errors.next().expect("a rejection");
    assert!(errors.next().is_none(), "further frames are ignored");
    error
}

fn chunk_of(frame: &mut TrajectoryFrame) -> &mut wire::StateChunk {
    match &mut frame.content {
        Some(Content::Chunk(chunk)) => chunk,
        _ => panic!("no chunk"),
    }
}

#[test]
fn rejects_each_malformed_frame_with_its_error() {
    use Destination::{Learner, Rewarder};
    // Frame 0 is the header, 1 and 2 the halves of state 0, 7 the footer, 8 the score.
    let out_of_order = |state, offset| Malformed::ChunkOutOfOrder {
        expected_state: 0,
        expected_offset: 100,
        found_state: state,
        found_offset: offset,
    };
    assert_eq!(rejection(Rewarder, |f| drop(f.remove(2))), out_of_order(1, 0));
    assert_eq!(rejection(Rewarder, |f| f.insert(1, f[1].clone())), out_of_order(0, 0));
    assert_eq!(rejection(Rewarder, |f| chunk_of(&mut f[2]).offset_bytes = 5), out_of_order(0, 5));
    assert_eq!(rejection(Rewarder, |f| chunk_of(&mut f[1]).payload.clear()), Malformed::ChunkEmpty);
    let beyond = Malformed::ChunkBeyondState { state: 0, expected: 92, found: 93 };
    let long = |f: &mut Vec<_>| f[2] = chunk(0, 0, 100, Bytes::from(vec![0; 93]));
    assert_eq!(rejection(Rewarder, long), beyond);
    let missing = Malformed::StatesMissing { expected: 3, found: 0 };
    assert_eq!(rejection(Rewarder, |f| drop(f.drain(1..7))), missing);
    let footer = |log_probs| frame(0, Content::Footer(wire::TrajectoryFooter { log_probs }));
    let count = Malformed::LogProbCount { expected: 1, found: 2 };
    assert_eq!(rejection(Rewarder, |f| f[7] = footer(vec![0.0; 2])), count);
    let nan = |f: &mut Vec<_>| f[7] = footer(vec![f32::NAN]);
    assert_eq!(rejection(Learner, nan), Malformed::LogProbNotFinite(0));
    assert_eq!(rejection(Learner, |f| f.insert(8, f[7].clone())), Malformed::AfterFooter("footer"));
    assert_eq!(rejection(Learner, |f| f.insert(8, f[1].clone())), Malformed::AfterFooter("chunk"));
    assert_eq!(rejection(Learner, |f| f.insert(7, f[8].clone())), Malformed::ScoreBeforeFooter);
    let score = wire::TrajectoryScore::default();
    let early = |f: &mut Vec<_>| f.insert(3, frame(0, Content::Score(score.clone())));
    assert_eq!(rejection(Rewarder, early), Malformed::ScoreForbidden);
}

#[test]
fn frames_for_a_wrong_slot_end_the_stream() {
    let score = task_score(1.0);
    let whole = frames(0, &small(0), None, 1000);
    let first = |frames: Vec<TrajectoryFrame>| {
        let mut assembler = assembler(Destination::Rewarder);
        frames.into_iter().find_map(|frame| assembler.push(frame).err())
    };
    assert_eq!(first(whole.clone()), None);
    let not_open = StreamError::SlotNotOpen { slot: 0, found: "chunk" };
    assert_eq!(first(whole[1..].to_vec()), Some(not_open));
    let in_use = Some(StreamError::SlotInUse { slot: 0 });
    assert_eq!(first(vec![whole[0].clone(), whole[0].clone()]), in_use);
    assert_eq!(first([whole.clone(), whole.clone()].concat()), in_use);
    let after = StreamError::AfterEnd { slot: 0, found: "score" };
    assert_eq!(first(frames(0, &small(0), Some(&score), 1000)), Some(after));
}

#[test]
fn rejected_slots_are_bounded() {
    let limits = Limits { max_slots: 2, ..Limits::default() };
    let mut assembler = FrameAssembler::new(Destination::Rewarder, limits);
    assembler.grant(3);
    let bad = |slot| frame(slot, Content::Header(wire::TrajectoryHeader::default()));
    assert!(assembler.push(bad(0)).is_ok());
    assert!(assembler.push(bad(1)).is_ok());
    let error = assembler.push(bad(2)).unwrap_err();
    assert_eq!(error, StreamError::TooManySlots { slot: 2, limit: 2 });
}

#[test]
fn large_state_in_one_chunk_is_not_copied() {
    let whole = trajectory(&opening(0, 1, [3, 256, 256]));
    let mut assembler = assembler(Destination::Rewarder);
    let mut arrived = None;
    for frame in frames(0, &whole, None, 1 << 20) {
        if let Some(AssemblerEvent::Complete { trajectory, .. }) = assembler.push(frame).unwrap() {
            arrived = Some(trajectory);
        }
    }
    let arrived = arrived.unwrap();
    for (sent, arrived) in whole.states.iter().zip(&arrived.states) {
        assert_eq!(sent.as_ptr(), arrived.as_ptr());
    }
}

/// Interleaves the frames of several slots, each slot's in order.
fn interleave(mut queues: Vec<Vec<TrajectoryFrame>>, picks: &[usize]) -> Vec<TrajectoryFrame> {
    queues.iter_mut().for_each(|queue| queue.reverse());
    let mut mixed = Vec::new();
    for &pick in picks.iter().cycle() {
        queues.retain(|queue| !queue.is_empty());
        if queues.is_empty() {
            break;
        }
        let index = pick % queues.len();
        mixed.extend(queues[index].pop());
    }
    mixed
}

/// Generates frames of valid and of spoiled trajectories.
fn any_frame() -> impl Strategy<Value = TrajectoryFrame> {
    let score = task_score(1.0);
    let pool = frames(0, &small(0), Some(&score), 100);
    let picked = (proptest::sample::select(pool), 0_u32..4);
    let picked = picked.prop_map(|(frame, slot)| TrajectoryFrame { slot, ..frame });
    let size = any::<(u32, u64, u32)>();
    let chunk = (0_u32..4, size, 0_usize..300).prop_map(|(slot, (state, offset, crc), length)| {
        let payload = Bytes::from(vec![7; length]);
        let payload_crc32 = if crc % 2 == 0 { crc32fast::hash(&payload) } else { crc };
        let (state, offset_bytes) = (state % 5, offset % 300);
        frame(
            slot,
            Content::Chunk(wire::StateChunk { state, offset_bytes, payload, payload_crc32 }),
        )
    });
    let abandoned = (0_u32..4, ".*").prop_map(|(slot, reason)| {
        frame(slot, Content::Abandoned(wire::TrajectoryAbandoned { reason }))
    });
    prop_oneof![8 => picked, 2 => chunk, 1 => abandoned]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn valid_trajectories_complete_in_any_chunking_and_order(
        piece in 1_usize..250,
        steps in 1_usize..4,
        picks in prop::collection::vec(0_usize..8, 1..20),
        scored: bool,
    ) {
        let destination = if scored { Destination::Learner } else { Destination::Rewarder };
        let score = task_score(0.5);
        let scored = scored.then_some(&score);
        let whole: Vec<IncomingTrajectory> =
            (0..4).map(|i| trajectory(&opening(i, steps, [1, 4, 9]))).collect();
        let queues = (0..4).map(|i| frames(i, &whole[i as usize], scored, piece)).collect();
        let mut assembler = assembler(destination);
        let mut arrived = 0;
        for frame in interleave(queues, &picks) {
            match assembler.push(frame).unwrap() {
                Some(AssemblerEvent::Complete { ticket, trajectory }) => {
                    arrived += 1;
                    let sent = &whole[ticket.slot as usize];
                    prop_assert_eq!(&trajectory.states, &sent.states);
                    prop_assert_eq!(trajectory.score.is_some(), scored.is_some());
                    prop_assert!(trajectory.into_trajectory().is_ok());
                    prop_assert!(assembler.release(ticket));
                }
                Some(AssemblerEvent::Rejected { error, .. }) => panic!("{error}"),
                _ => {}
            }
        }
        prop_assert_eq!(arrived, 4);
        prop_assert_eq!(assembler.held_bytes(), 0);
    }

    #[test]
    fn random_frames_neither_panic_nor_exceed_the_limits(
        sent in prop::collection::vec(any_frame(), 0..200),
        learner: bool,
    ) {
        let destination = if learner { Destination::Learner } else { Destination::Rewarder };
        let mut assembler = assembler(destination);
        let bound = 4 * 3 * small(0).states[0].len();
        for frame in sent {
            match assembler.push(frame) {
                // A stream error ends the stream; pushing further frames must be harmless.
                Err(_) | Ok(None) => {}
                Ok(Some(AssemblerEvent::Complete { ticket, .. })) => {
                    prop_assert!(assembler.release(ticket));
                    assembler.grant(1);
                }
                Ok(Some(AssemblerEvent::Abandoned { .. } | AssemblerEvent::Rejected { .. })) => {
                    assembler.grant(1);
                }
                Ok(Some(AssemblerEvent::Opened { .. } | AssemblerEvent::State { .. })) => {}
            }
            prop_assert!(assembler.held_bytes() <= bound);
            prop_assert!(assembler.growing().count() + assembler.answering() <= 4);
        }
    }
}

#[test]
fn one_state_too_many_is_named() {
    let more = |f: &mut Vec<_>| f.insert(7, chunk(0, 3, 0, Bytes::from(vec![0; 92])));
    let error = rejection(Destination::Rewarder, more);
    assert_eq!(error, Malformed::StateBeyondLast { expected: 3, found: 3 });
    let text = "chunk: expected the footer after 3 states, found another chunk, of state 3";
    assert_eq!(error.to_string(), text);
}
