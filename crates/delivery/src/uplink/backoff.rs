//! Pauses between attempts.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// Pauses that double from `first` to `longest`. Each is shortened randomly by up to a half, so
/// that workers that failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// Returns the pause after `failures` consecutive failures.
    pub fn pause(&self, failures: u32) -> Duration {
        // backon lengthens a pause randomly by up to its length, hence the halves.
        let half = self.longest / 2;
        let pauses = ExponentialBuilder::new()
            .with_min_delay(half.min(self.first / 2))
            .with_max_delay(half)
            .without_max_times()
            .with_jitter();
        pauses.build().nth(failures.min(20) as usize).unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let backoff =
            Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        for (failures, full) in [(0, 100), (1, 200), (3, 800), (4, 1000), (u32::MAX, 1000)] {
            let pause = backoff.pause(failures).as_millis();
            assert!((full / 2..=full).contains(&pause), "{failures}: {pause} ms");
        }
    }
}
