//! Pauses after draws that fail, so that a sampler that cannot draw does not take order after order.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(300);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// Draws that have failed one after the other.
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

    /// Forgets the failures after a draw that succeeded.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
