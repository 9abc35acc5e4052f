//! The frames that a sender makes of a trajectory.

use bytes::Bytes;
use ddpo_proto::convert::text::shown;
use ddpo_proto::limits::Limits;
use ddpo_proto::wire;
use wire::trajectory_frame::Content;

/// Payload of the chunks to send: with its envelope, a chunk stays below 1 MiB.
pub(crate) const CHUNK_BYTES: usize = (1 << 20) - (1 << 10);

/// Opens a slot.
pub(crate) fn header(slot: u32, header: wire::TrajectoryHeader) -> wire::TrajectoryFrame {
    frame(slot, Content::Header(header))
}

/// Carries a part of a state; [`seal`] adds its checksum.
pub(crate) fn chunk(
    slot: u32,
    state: usize,
    offset: usize,
    payload: Bytes,
) -> wire::TrajectoryFrame {
    let state = u32::try_from(state).unwrap_or(u32::MAX);
    let offset_bytes = offset as u64;
    let chunk = wire::StateChunk { state, offset_bytes, payload, payload_crc32: 0 };
    frame(slot, Content::Chunk(chunk))
}

/// Ends the states.
pub(crate) fn footer(slot: u32, log_probs: &[f32]) -> wire::TrajectoryFrame {
    frame(slot, Content::Footer(wire::TrajectoryFooter { log_probs: log_probs.to_vec() }))
}

/// Carries the score.
pub(crate) fn score(slot: u32, score: wire::TrajectoryScore) -> wire::TrajectoryFrame {
    frame(slot, Content::Score(score))
}

/// Abandons the trajectory.
pub(crate) fn abandoned(slot: u32, reason: &str, limits: &Limits) -> wire::TrajectoryFrame {
    let reason = shown(reason, limits.max_reason_bytes);
    frame(slot, Content::Abandoned(wire::TrajectoryAbandoned { reason }))
}

/// Adds the checksum to a chunk; a separate step, so that it is not computed under a lock.
pub(crate) fn seal(mut frame: wire::TrajectoryFrame) -> wire::TrajectoryFrame {
    if let Some(Content::Chunk(chunk)) = &mut frame.content {
        chunk.payload_crc32 = crc32fast::hash(&chunk.payload);
    }
    frame
}

/// Returns a received reason, cut to `limits`.
pub(crate) fn reason(message: &wire::TrajectoryAbandoned, limits: &Limits) -> String {
    shown(&message.reason, limits.max_reason_bytes)
}

/// Returns a received id, which may be malformed, for a receipt.
pub(crate) fn shown_id(id: &str, limits: &Limits) -> String {
    shown(id, limits.max_text_bytes)
}

fn frame(slot: u32, content: Content) -> wire::TrajectoryFrame {
    wire::TrajectoryFrame { slot, content: Some(content) }
}
