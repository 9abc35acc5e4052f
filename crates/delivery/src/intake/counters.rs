//! Counters of an intake.

use std::sync::atomic::AtomicU64;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Open streams.
    pub streams: AtomicU64,
    /// Streams closed by a [`StreamError`](crate::assembler::StreamError).
    pub stream_errors: AtomicU64,
    /// Headers read.
    pub opened: AtomicU64,
    /// Trajectories that the service refused by their headers.
    pub not_admitted: AtomicU64,
    /// Trajectories passed to the service.
    pub completed: AtomicU64,
    /// Malformed trajectories.
    pub rejected: AtomicU64,
    /// Trajectories that were abandoned, or whose stream broke before they were complete.
    pub lost: AtomicU64,
    /// Payload bytes of states.
    pub state_bytes: AtomicU64,
}
