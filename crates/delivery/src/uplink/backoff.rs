//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Pauses that double from `first` to `longest`, each shortened by up to a half, so that workers
/// that failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The pause after `failures` failures in a row.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << failures.min(20)).min(self.longest);
        // The hasher's keys are random; nothing of a run depends on this draw.
        let draw = RandomState::new().hash_one(failures) >> 40;
        doubled.mul_f64(0.5 + 0.5 * draw as f64 / (1_u64 << 24) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff =
            Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        for (failures, full) in [(0, 100), (1, 200), (3, 800), (4, 1000), (u32::MAX, 1000)] {
            let pause = backoff.pause(failures).as_millis();
            assert!((full / 2..=full).contains(&pause), "{failures}: {pause} ms");
        }
    }
}
