//! Counters of an uplink.

use ddpo_proto::stream::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct UplinkCounters {
    /// Trajectories sent completely, counting every time.
    pub trajectories_sent: AtomicU64,
    /// Trajectories whose header was resent.
    pub trajectories_resent: AtomicU64,
    /// Payload bytes sent.
    pub bytes_sent: AtomicU64,
    /// Streams opened after the first.
    pub reconnects: AtomicU64,
    /// Failed attempts to open a stream.
    pub connect_failures: AtomicU64,
    /// Credits left on the current stream; the only value here that can decrease.
    pub credits: AtomicU64,
    receipts: [AtomicU64; Verdict::ALL.len()],
}

impl UplinkCounters {
    /// Returns the number of receipts with this verdict.
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
