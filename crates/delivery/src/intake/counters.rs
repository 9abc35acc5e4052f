//! Counters of an intake.

use std::sync::atomic::AtomicU64;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Streams that are open now.
    pub streams: AtomicU64,
    /// Streams that were closed for a [`StreamError`](crate::assembler::StreamError).
    pub stream_errors: AtomicU64,
    /// Headers that were read.
    pub opened: AtomicU64,
    /// Trajectories that were handed to the service.
    pub completed: AtomicU64,
    /// Trajectories that were malformed.
    pub rejected: AtomicU64,
    /// Trajectories that were abandoned, or whose stream broke before they were complete.
    pub lost: AtomicU64,
    /// Payload bytes of states.
    pub state_bytes: AtomicU64,
}
