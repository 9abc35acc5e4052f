//! An outgoing trajectory and its progress on the current stream.

use crate::frame;
use bytes::Bytes;
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::Receipt;
use ddpo_proto::wire;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How a trajectory ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// Complete.
    Finished {
        /// Log-probabilities for the footer.
        log_probs: Vec<f32>,
        /// The score, for the learner.
        score: Option<wire::TrajectoryScore>,
    },
    /// Abandoned, with the reason.
    Abandoned(String),
}

/// Progress of a trajectory on the current stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    /// Nothing was sent.
    Waiting,
    /// The header and some states were sent.
    Open { slot: u32, state: usize, offset: usize },
    /// The footer was sent, but not the score.
    Footed { slot: u32 },
    /// Everything was sent; the receipt is awaited.
    Sent { at: Instant },
}

/// An outgoing trajectory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) header: wire::TrajectoryHeader,
    pub(super) states: Vec<Bytes>,
    pub(super) ending: Option<Ending>,
    pub(super) receipt: oneshot::Sender<Receipt>,
    pub(super) progress: Progress,
    /// After RETRY_LATER: when the trajectory may be opened again.
    pub(super) not_before: Option<Instant>,
    pub(super) retries: u32,
    /// Whether its header was sent on any stream.
    pub(super) was_opened: bool,
}

/// The next frame of an entry.
#[derive(Debug)]
pub(super) struct NextFrame {
    pub(super) frame: wire::TrajectoryFrame,
    pub(super) payload_bytes: usize,
    pub(super) last: Last,
}

/// A frame to send, with its trajectory.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) id: u64,
    pub(super) next: NextFrame,
    /// Whether the frame is the header of a trajectory that was opened on an earlier stream.
    pub(super) resent: bool,
}

/// Whether a frame is the last of its trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// More frames follow.
    No,
    /// The receipt is awaited.
    Sent,
    /// The trajectory was abandoned and gets no receipt.
    Abandoned,
}

impl Entry {
    pub(super) fn new(header: wire::TrajectoryHeader, receipt: oneshot::Sender<Receipt>) -> Self {
        Self {
            header,
            states: Vec::new(),
            ending: None,
            receipt,
            progress: Progress::Waiting,
            not_before: None,
            retries: 0,
            was_opened: false,
        }
    }

    /// Returns whether the trajectory can be opened at `now`.
    pub(super) fn may_open(&self, now: Instant) -> bool {
        self.progress == Progress::Waiting && self.not_before.is_none_or(|then| then <= now)
    }

    /// Returns the header for `slot`.
    pub(super) fn open(&mut self, slot: u32) -> NextFrame {
        self.progress = Progress::Open { slot, state: 0, offset: 0 };
        self.was_opened = true;
        more(frame::header(slot, self.header.clone()), 0)
    }

    /// Returns the next frame after the header, if one can be sent now.
    pub(super) fn advance(&mut self, now: Instant, limits: &Limits) -> Option<NextFrame> {
        match self.progress {
            Progress::Waiting | Progress::Sent { .. } => None,
            Progress::Open { slot, .. } | Progress::Footed { slot }
                if let Some(Ending::Abandoned(reason)) = &self.ending =>
            {
                let frame = frame::abandoned(slot, reason, limits);
                Some(NextFrame { frame, payload_bytes: 0, last: Last::Abandoned })
            }
            Progress::Open { slot, state, offset } if state < self.states.len() => {
                let chunk_bytes = frame::CHUNK_BYTES.min(limits.max_chunk_bytes).max(1);
                Some(self.chunk(slot, state, offset, chunk_bytes))
            }
            Progress::Open { slot, .. } => self.footer(slot, now),
            Progress::Footed { slot } => self.score(slot, now),
        }
    }

    fn chunk(&mut self, slot: u32, state: usize, offset: usize, chunk_bytes: usize) -> NextFrame {
        let bytes = &self.states[state];
        let end = bytes.len().min(offset + chunk_bytes);
        let payload = bytes.slice(offset..end);
        let (next, at) = if end == bytes.len() { (state + 1, 0) } else { (state, end) };
        self.progress = Progress::Open { slot, state: next, offset: at };
        more(frame::chunk(slot, state, offset, payload), end - offset)
    }

    fn footer(&mut self, slot: u32, now: Instant) -> Option<NextFrame> {
        let Some(Ending::Finished { log_probs, score }) = &self.ending else { return None };
        let footer = frame::footer(slot, log_probs);
        if score.is_some() {
            self.progress = Progress::Footed { slot };
            return Some(more(footer, 0));
        }
        self.progress = Progress::Sent { at: now };
        Some(NextFrame { frame: footer, payload_bytes: 0, last: Last::Sent })
    }

    fn score(&mut self, slot: u32, now: Instant) -> Option<NextFrame> {
        let Some(Ending::Finished { score: Some(score), .. }) = &self.ending else { return None };
        let frame = frame::score(slot, score.clone());
        self.progress = Progress::Sent { at: now };
        Some(NextFrame { frame, payload_bytes: 0, last: Last::Sent })
    }
}

fn more(frame: wire::TrajectoryFrame, payload_bytes: usize) -> NextFrame {
    NextFrame { frame, payload_bytes, last: Last::No }
}
