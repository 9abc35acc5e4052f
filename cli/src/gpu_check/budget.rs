//! The time that a check may take.

use std::time::{Duration, Instant};

/// A start and a length of time.
#[derive(Debug)]
pub struct Budget {
    start: Instant,
    length: Duration,
}

impl Budget {
    /// Begins now.
    pub fn of(minutes: f64) -> Self {
        Self { start: Instant::now(), length: Duration::from_secs_f64(minutes * 60.0) }
    }

    /// Returns whether measurements should stop.
    pub fn is_spent(&self) -> bool {
        self.start.elapsed() >= self.length
    }

    /// The time of one measurement: a hundredth of the whole, one to four seconds.
    pub fn of_one(&self) -> Duration {
        (self.length / 100).clamp(Duration::from_millis(300), Duration::from_secs(4))
    }
}
