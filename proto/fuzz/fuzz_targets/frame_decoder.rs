//! Decodes bytes as length-prefixed frames of one stream and pushes them to the assembler. Repairs
//! checksums, so that input gets past the first chunk.

#![no_main]

use ddpo_delivery::assembler::{AssemblerEvent, FrameAssembler};
use ddpo_delivery::destination::Destination;
use ddpo_proto::limits::Limits;
use ddpo_proto::wire::{TrajectoryFrame, trajectory_frame::Content};
use ddpo_rollout::trajectory::TrajectoryError;
use libfuzzer_sys::fuzz_target;
use prost::Message;

const CREDITS: u32 = 4;

fuzz_target!(|input: &[u8]| {
    let Some((&first, mut rest)) = input.split_first() else { return };
    let destination = if first % 2 == 0 { Destination::Rewarder } else { Destination::Learner };
    let limits = Limits { max_trajectory_bytes: 1 << 16, max_slots: 8, ..Limits::default() };
    let bound = CREDITS as usize * limits.max_trajectory_bytes;
    let mut assembler = FrameAssembler::new(destination, limits);
    assembler.grant(CREDITS);
    while let Ok(mut frame) = TrajectoryFrame::decode_length_delimited(&mut rest) {
        if first % 4 < 2
            && let Some(Content::Chunk(chunk)) = &mut frame.content
        {
            chunk.payload_crc32 = crc32(&chunk.payload);
        }
        match assembler.push(frame) {
            Ok(Some(AssemblerEvent::Complete { ticket, trajectory })) => {
                // Values of states are checked by the code that reads them.
                let read = trajectory.into_trajectory();
                assert!(
                    matches!(read, Ok(_) | Err(TrajectoryError::StateNotFinite { .. })),
                    "{read:?}"
                );
                assert!(assembler.release(ticket));
                assembler.grant(1);
            }
            Ok(Some(AssemblerEvent::Abandoned { .. } | AssemblerEvent::Rejected { .. })) => {
                assembler.grant(1);
            }
            Ok(_) => {}
            Err(_) => return,
        }
        assert!(assembler.held_bytes() <= bound);
        assert!(assembler.growing().count() + assembler.answering() <= CREDITS as usize);
    }
});

/// Computes CRC-32 (IEEE 802.3) bit by bit, independently of the table-driven one.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
