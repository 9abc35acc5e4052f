//! Credits and slots of one stream, and the public state of the link.

use super::entry::{Last, Planned};
use std::collections::HashMap;

/// State of an uplink's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No stream and nothing to send; the next trajectory opens one.
    Idle,
    /// The receiver at this address has granted credit.
    Up {
        /// The address.
        address: String,
    },
    /// The last attempt failed, or the last stream broke.
    Down {
        /// The address.
        address: String,
        /// The reason.
        reason: String,
    },
}

/// Credits and slots of one stream.
#[derive(Debug, Default)]
pub(super) struct Link {
    credits: u32,
    /// The trajectory in each slot, from its header to its receipt.
    slots: HashMap<u32, u64>,
}

impl Link {
    pub(super) fn has_credit(&self) -> bool {
        self.credits > 0
    }

    pub(super) fn credits(&self) -> u32 {
        self.credits
    }

    /// Returns whether the stream carries no trajectory.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn grant(&mut self, credits: u32) {
        self.credits = self.credits.saturating_add(credits);
    }

    /// Returns the lowest free slot, so that a receiver sees no more slots than it granted credits.
    pub(super) fn free_slot(&self) -> u32 {
        (0..u32::MAX).find(|slot| !self.slots.contains_key(slot)).unwrap_or(u32::MAX)
    }

    /// Returns the trajectory in the slot.
    pub(super) fn holder(&self, slot: u32) -> Option<u64> {
        self.slots.get(&slot).copied()
    }

    /// Records a frame that is sent.
    pub(super) fn note(&mut self, planned: &Planned) {
        let frame = &planned.next.frame;
        if is_header(frame) {
            self.credits = self.credits.saturating_sub(1);
            self.slots.insert(frame.slot, planned.id);
        }
        if planned.next.last == Last::Abandoned {
            self.slots.remove(&frame.slot);
        }
    }

    /// Frees a slot after its receipt.
    pub(super) fn free(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }
}

fn is_header(frame: &ddpo_proto::wire::TrajectoryFrame) -> bool {
    matches!(frame.content, Some(ddpo_proto::wire::trajectory_frame::Content::Header(_)))
}
