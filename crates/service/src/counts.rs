//! Counters by their names in a status; `export` converts them to metrics.

use ddpo_delivery::intake::IntakeCounters;
use ddpo_delivery::uplink::UplinkCounters;
use ddpo_proto::stream::Verdict;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads counters.
pub fn named<const N: usize>(counters: [(&str, &AtomicU64); N]) -> [(String, u64); N] {
    counters.map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed)))
}

/// Reads the counters of an uplink.
pub fn of_uplink(sent: &UplinkCounters) -> impl Iterator<Item = (String, u64)> + use<> {
    let counts = named([
        ("trajectories_sent", &sent.trajectories_sent),
        ("trajectories_resent", &sent.trajectories_resent),
        ("state_bytes_sent", &sent.bytes_sent),
        ("reconnects", &sent.reconnects),
    ]);
    let receipts = Verdict::ALL
        .map(|verdict| (format!("receipts_{}", verdict.name()), sent.receipts(verdict)));
    counts.into_iter().chain(receipts)
}

/// Reads the counters of an intake.
pub fn of_intake(intake: &IntakeCounters) -> [(String, u64); 8] {
    named([
        ("trajectories_opened", &intake.opened),
        ("trajectories_not_admitted", &intake.not_admitted),
        ("trajectories_received", &intake.completed),
        ("trajectories_malformed", &intake.rejected),
        ("trajectories_lost", &intake.lost),
        ("state_bytes_received", &intake.state_bytes),
        ("streams", &intake.streams),
        ("stream_errors", &intake.stream_errors),
    ])
}
