//! A trajectory that is still arriving.

use crate::incoming::IncomingTrajectory;
use bytes::{Bytes, BytesMut};
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::{GivenScore, Opening};
use ddpo_proto::wire;
use std::sync::Arc;

/// States of at least this size are kept in the receive buffer. Smaller ones are copied, because
/// they would keep alive a buffer that may be a hundred times larger.
const KEPT_BYTES: usize = 64 << 10;

/// The received parts of a trajectory.
#[derive(Debug)]
pub(super) struct Growth {
    opening: Arc<Opening>,
    states: Vec<Bytes>,
    /// The partly received state.
    partial: BytesMut,
    log_probs: Option<Vec<f32>>,
}

impl Growth {
    pub(super) fn new(opening: Arc<Opening>) -> Self {
        Self { opening, states: Vec::new(), partial: BytesMut::new(), log_probs: None }
    }

    pub(super) fn opening(&self) -> &Arc<Opening> {
        &self.opening
    }

    pub(super) fn has_footer(&self) -> bool {
        self.log_probs.is_some()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.states.iter().map(Bytes::len).sum::<usize>() + self.partial.capacity()
    }

    /// Takes a chunk; returns the state that it completes, with its position.
    pub(super) fn chunk(
        &mut self,
        chunk: wire::StateChunk,
        limits: &Limits,
    ) -> Result<Option<(usize, Bytes)>, Malformed> {
        let (index, offset) = self.expect(&chunk, limits)?;
        let found = crc32fast::hash(&chunk.payload);
        let expected = chunk.payload_crc32;
        if found != expected {
            return Err(Malformed::ChunkChecksum { state: index, offset, expected, found });
        }
        let Some(state) = self.take_payload(chunk.payload) else { return Ok(None) };
        self.states.push(state.clone());
        Ok(Some((index, state)))
    }

    /// Checks that the chunk is the next one; returns its state and offset.
    fn expect(
        &self,
        chunk: &wire::StateChunk,
        limits: &Limits,
    ) -> Result<(usize, usize), Malformed> {
        if self.has_footer() {
            return Err(Malformed::AfterFooter("chunk"));
        }
        let found = chunk.payload.len();
        if found == 0 {
            return Err(Malformed::ChunkEmpty);
        }
        if found > limits.max_chunk_bytes {
            return Err(Malformed::ChunkTooLarge { limit: limits.max_chunk_bytes, found });
        }
        let (state, offset) = (self.states.len(), self.partial.len());
        let expected = self.opening.state_count();
        if state == expected {
            return Err(Malformed::StateBeyondLast { expected, found: chunk.state });
        }
        let next = chunk.state as usize == state && chunk.offset_bytes == offset as u64;
        if !next {
            return Err(Malformed::ChunkOutOfOrder {
                expected_state: state,
                expected_offset: offset,
                found_state: chunk.state,
                found_offset: chunk.offset_bytes,
            });
        }
        let expected = self.opening.state_bytes() - offset;
        if found > expected {
            return Err(Malformed::ChunkBeyondState { state, expected, found });
        }
        Ok((state, offset))
    }

    /// Returns the state if the payload completes it.
    fn take_payload(&mut self, payload: Bytes) -> Option<Bytes> {
        let size = self.opening.state_bytes();
        if self.partial.is_empty() {
            if payload.len() == size {
                let keep = size >= KEPT_BYTES;
                return Some(if keep { payload } else { Bytes::copy_from_slice(&payload) });
            }
            self.partial = BytesMut::with_capacity(size);
        }
        self.partial.extend_from_slice(&payload);
        (self.partial.len() == size).then(|| std::mem::take(&mut self.partial).freeze())
    }

    /// Takes the footer.
    pub(super) fn footer(&mut self, footer: wire::TrajectoryFooter) -> Result<(), Malformed> {
        if self.has_footer() {
            return Err(Malformed::AfterFooter("footer"));
        }
        let (expected, found) = (self.opening.state_count(), self.states.len());
        if found != expected {
            return Err(Malformed::StatesMissing { expected, found });
        }
        let (expected, found) = (self.opening.header.random_steps.len(), footer.log_probs.len());
        if found != expected {
            return Err(Malformed::LogProbCount { expected, found });
        }
        if let Some(position) = footer.log_probs.iter().position(|value| !value.is_finite()) {
            return Err(Malformed::LogProbNotFinite(position));
        }
        self.log_probs = Some(footer.log_probs);
        Ok(())
    }

    /// Returns the whole trajectory. Call it once, after the footer.
    pub(super) fn take(&mut self, scored: Option<GivenScore>) -> IncomingTrajectory {
        let (score, reward) = scored.map(|given| (given.score, given.reward)).unzip();
        IncomingTrajectory {
            identity: self.opening.identity.clone(),
            header: self.opening.header.clone(),
            states: std::mem::take(&mut self.states),
            log_probs: self.log_probs.take().unwrap_or_default(),
            score,
            reward,
        }
    }
}
