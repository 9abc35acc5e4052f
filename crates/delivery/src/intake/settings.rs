//! Limits of an intake's streams.

use ddpo_proto::limits::Limits;
use std::time::Duration;

/// Limits of an intake's streams.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Trajectories that may be open or unanswered on one stream.
    pub credits_per_stream: u32,
    /// Largest number of open streams; further ones are rejected with RESOURCE_EXHAUSTED.
    pub max_streams: usize,
    /// Closes a stream after this long without a frame, unless it only waits for receipts, and
    /// after this long in which the peer reads no reply.
    pub idle_timeout: Duration,
    /// Limits of received messages.
    pub limits: Limits,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            credits_per_stream: 16,
            max_streams: 64,
            idle_timeout: Duration::from_secs(600),
            limits: Limits::default(),
        }
    }
}
