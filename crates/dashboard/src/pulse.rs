//! Whether the other end of a connection still takes what it is sent.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest time between two beats.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pulse of one connection: it beats when the other end has taken something.
#[derive(Debug)]
pub struct Pulse {
    last: Mutex<Instant>,
}

impl Pulse {
    /// One that beats now.
    pub fn new() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }

    /// It beats.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when it has not beaten for [`PATIENCE`].
    pub async fn stops(&self) {
        loop {
            let due = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + PATIENCE;
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
    async fn it_stops_when_nothing_is_taken_any_more() {
        let pulse = Pulse::new();
        let start = Instant::now();
        let beating = async {
            for _ in 0..5 {
                tokio::time::sleep(PATIENCE / 2).await;
                pulse.beat();
            }
        };
        tokio::join!(beating, pulse.stops());
        assert_eq!(start.elapsed(), PATIENCE / 2 * 5 + PATIENCE);
    }
}
