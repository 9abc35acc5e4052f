//! The time budget of a check.

use std::time::{Duration, Instant};

/// A start time and a duration.
#[derive(Debug)]
pub struct Budget {
    start: Instant,
    length: Duration,
}

impl Budget {
    /// Starts now.
    pub fn of(minutes: f64) -> Self {
        Self { start: Instant::now(), length: Duration::from_secs_f64(minutes * 60.0) }
    }

    /// Returns whether measurements should stop.
    pub fn is_spent(&self) -> bool {
        self.start.elapsed() >= self.length
    }

    /// Returns the time of one measurement: a hundredth of the budget, 0.3 to 4 s.
    pub fn of_one(&self) -> Duration {
        (self.length / 100).clamp(Duration::from_millis(300), Duration::from_secs(4))
    }
}
