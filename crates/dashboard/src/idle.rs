//! Finds connections whose client has stopped reading.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest time without a read by the client.
const LONGEST: Duration = Duration::from_secs(30);

/// Measures the time since the client of a connection last read.
#[derive(Debug)]
pub struct IdleTimer {
    last: Mutex<Instant>,
}

impl IdleTimer {
    /// Starts the timer.
    pub fn new() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }

    /// Restarts the timer after a read.
    pub fn reset(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns after [`LONGEST`] without a reset.
    pub async fn expired(&self) {
        loop {
            let due = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + LONGEST;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expires_after_the_last_reset() {
        let timer = IdleTimer::new();
        let start = Instant::now();
        let reading = async {
            for _ in 0..5 {
                tokio::time::sleep(LONGEST / 2).await;
                timer.reset();
            }
        };
        tokio::join!(reading, timer.expired());
        assert_eq!(start.elapsed(), LONGEST / 2 * 5 + LONGEST);
    }
}
