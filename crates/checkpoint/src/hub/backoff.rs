//! Waiting times between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Waiting time before the second attempt.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Returns the waiting times before `retries` further attempts: [`FIRST_WAIT`], doubled each time.
pub(crate) fn waits(retries: usize) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default().with_min_delay(FIRST_WAIT).with_max_times(retries).build()
}
