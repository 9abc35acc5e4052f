//! Failures that repeat: pauses after draws that fail, so that a sampler that cannot draw does not take order
//! after order, and how long a Redis that refuses is asked again.

use ddpo_broadcast::error::BroadcastError;
use std::time::Duration;
use tokio::time::Instant;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(300);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// The longest pause where the learner is expected to help, which publishes weights again.
const LONGEST_FOR_WEIGHTS: Duration = Duration::from_secs(5);

/// How long Redis may refuse the user or the password, which an administrator may be changing. As long as the
/// learner's `redis_patience_seconds` by default.
const LONGEST_REFUSAL: Duration = Duration::from_secs(120);

/// Whether a failure that repeats is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// It is logged.
    Yes,
    /// It is like those before it.
    No,
}

/// Failures one after the other.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: u32,
}

impl Failures {
    /// Counts a failed draw, and returns the pause before the next order: 300 ms, doubled for each further
    /// failure, at most 30 s.
    pub fn failed(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.in_a_row)).min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        pause
    }

    /// Counts a load of weights that failed, and returns the pause before the next order, at most 5 s.
    pub fn failed_to_load(&mut self) -> Duration {
        self.failed().min(LONGEST_FOR_WEIGHTS)
    }

    /// Returns whether the next failure is logged: the first, the second, the fourth and so on.
    pub fn next_is(&self) -> Logged {
        let is_logged = self.in_a_row.saturating_add(1).is_power_of_two();
        if is_logged { Logged::Yes } else { Logged::No }
    }

    /// Forgets the failures after a draw that succeeded.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
    }
}

/// Failures of Redis one after the other.
#[derive(Debug, Default)]
pub struct StoreFailures {
    failures: Failures,
    refused_since: Option<Instant>,
}

impl StoreFailures {
    /// Counts a failure, and returns whether it is logged; `None` if the service should end.
    pub fn failed(&mut self, error: &BroadcastError) -> Option<Logged> {
        if !error.may_heal() {
            return None;
        }
        if matches!(error, BroadcastError::Refused { .. }) {
            let since = *self.refused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= LONGEST_REFUSAL {
                return None;
            }
        }
        Some(self.failed_to_read())
    }

    /// Counts a value that cannot be read, which the learner replaces, and returns whether it is logged.
    pub fn failed_to_read(&mut self) -> Logged {
        let logged = self.failures.next_is();
        self.failures.failed();
        logged
    }

    /// Forgets the failures after an answer.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_the_service_only_after_two_minutes() {
        let refused = BroadcastError::Refused { action: "take an order", reason: "x".into() };
        let away = BroadcastError::Unavailable { action: "take an order", reason: "x".into() };
        let mut failures = StoreFailures::default();
        assert_eq!(failures.failed(&refused), Some(Logged::Yes));
        tokio::time::advance(Duration::from_secs(119)).await;
        assert_eq!(failures.failed(&away), Some(Logged::Yes));
        assert_eq!(failures.failed(&refused), Some(Logged::No));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(failures.failed(&refused), None);
        assert_eq!(failures.failed(&away), Some(Logged::Yes));
        failures.succeeded();
        assert_eq!(failures.failed(&refused), Some(Logged::Yes));
        let lost = BroadcastError::Server { action: "take an order", reason: "x".into() };
        assert_eq!(failures.failed(&lost), None);
    }

    #[test]
    fn pauses_double_up_to_thirty_seconds_and_begin_anew_after_a_success() {
        let mut failures = Failures::default();
        let pauses: Vec<u128> = (0..9).map(|_| failures.failed().as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 30_000, 30_000]);
        (0..100).for_each(|_| _ = failures.failed());
        assert_eq!(failures.failed(), LONGEST);
        failures.succeeded();
        assert_eq!(failures.failed(), FIRST);
    }

    #[test]
    fn failures_that_repeat_are_logged_less_and_less_often() {
        let mut failures = Failures::default();
        let logged: Vec<u32> = (1..=20)
            .filter(|_| {
                let next = failures.next_is();
                assert!(failures.failed_to_load() <= LONGEST_FOR_WEIGHTS);
                next == Logged::Yes
            })
            .collect();
        assert_eq!(logged, [1, 2, 4, 8, 16]);
    }
}
