//! Counters of an uplink.

use ddpo_proto::stream::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct UplinkCounters {
    /// Trajectories sent in full, each time counted.
    pub trajectories_sent: AtomicU64,
    /// Trajectories whose header was sent again.
    pub trajectories_resent: AtomicU64,
    /// Payload bytes sent.
    pub bytes_sent: AtomicU64,
    /// Streams that were opened after the first.
    pub reconnects: AtomicU64,
    /// Attempts to open a stream that failed.
    pub connect_failures: AtomicU64,
    /// Credits left on the stream of the moment; the one number here that falls, too.
    pub credits: AtomicU64,
    receipts: [AtomicU64; Verdict::ALL.len()],
}

impl UplinkCounters {
    /// Receipts with this verdict.
    pub fn receipts(&self, verdict: Verdict) -> u64 {
        self.receipts[verdict as usize].load(Ordering::Relaxed)
    }

    pub(super) fn note_credits(&self, left: u32) {
        self.credits.store(u64::from(left), Ordering::Relaxed);
    }

    pub(super) fn count_receipt(&self, verdict: Verdict) {
        self.receipts[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
