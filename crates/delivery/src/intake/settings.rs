//! Bounds on the streams of an intake.

use ddpo_proto::limits::Limits;
use std::time::Duration;

/// Bounds on the streams of an intake.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Trajectories that may be open or unanswered on one stream.
    pub credits_per_stream: u32,
    /// Streams open at the same time; further ones are refused with RESOURCE_EXHAUSTED.
    pub max_streams: usize,
    /// A stream is closed after this long without a frame, unless it only waits for receipts, and
    /// after this long in which the peer reads no reply.
    pub idle_timeout: Duration,
    /// Bounds on received messages.
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
