//! Tracks whether any server answers, to report a loss and to end the wait.

use super::error::ServerError;
use crate::external::waiting::{Reach, Waiting};
use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Interval between checks for cancellation.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// How long a server that answers may take to finish its batch after the cancellation.
const FINISH: Duration = Duration::from_secs(1);

/// The same for work that has to be finished, from the last answer.
const QUIET: Duration = Duration::from_secs(5);

/// Reachability of all servers together. Used only on the client's thread.
pub(super) struct Reachability {
    addresses: Vec<String>,
    waiting: Waiting,
    patience: Duration,
    state: RefCell<State>,
}

struct State {
    /// Servers whose last attempt failed.
    failing: Vec<bool>,
    /// The first failed attempt since the last answer.
    since: Option<Instant>,
    /// Whether the loss was reported.
    said: bool,
    /// When the cancellation was noticed.
    called_off: Option<Instant>,
    /// The last answer.
    answered: Option<Instant>,
}

impl Reachability {
    pub(super) fn new(addresses: Vec<String>, waiting: Waiting) -> Self {
        let failing = vec![false; addresses.len()];
        let patience = waiting.at_start;
        let state = RefCell::new(State {
            failing,
            since: None,
            said: false,
            called_off: None,
            answered: None,
        });
        Self { addresses, waiting, patience, state }
    }

    /// Switches from the time limit at start to that of a run.
    pub(super) fn opened(&mut self) {
        self.patience = self.waiting.patience;
    }

    /// Returns the addresses of all servers, for messages.
    pub(super) fn servers(&self) -> String {
        self.addresses.join(", ")
    }

    /// Returns whether no server answers.
    pub(super) fn is_lost(&self) -> bool {
        self.state.borrow().said
    }

    /// Fails if the wait was cancelled: at once if no server answers, otherwise after [`FINISH`]. Work that
    /// has to be finished goes on while answers come within [`QUIET`].
    pub(super) fn check_called_off(&self) -> Result<(), ServerError> {
        if !self.waiting.is_called_off() {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        let since = *state.called_off.get_or_insert_with(Instant::now);
        let is_over = if self.waiting.is_to_finish() {
            state.answered.map_or(since, |last| last.max(since)).elapsed() >= QUIET
        } else {
            since.elapsed() >= FINISH
        };
        if state.said || is_over {
            return Err(ServerError::CalledOff(self.servers()));
        }
        Ok(())
    }

    /// Returns the result of `work`, unless the wait is cancelled first.
    pub(super) async fn unless_called_off<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, ServerError> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                _ = look.tick() => self.check_called_off()?,
            }
        }
    }

    /// Records an answer of server `index`.
    pub(super) fn answered(&self, index: usize) {
        let mut state = self.state.borrow_mut();
        state.failing[index] = false;
        state.since = None;
        state.answered = Some(Instant::now());
        if std::mem::take(&mut state.said) {
            drop(state);
            let line = format!("reward server {}: answers again", self.addresses[index]);
            self.waiting.tell(&Reach::Found(line));
        }
    }

    /// Records a failed attempt at server `index`.
    ///
    /// # Errors
    /// [`ServerError::Gone`] if no server answered within the time limit.
    pub(super) fn failed(&self, index: usize, reason: &str) -> Result<(), ServerError> {
        let mut state = self.state.borrow_mut();
        let since = *state.since.get_or_insert_with(Instant::now);
        let news = !std::mem::replace(&mut state.failing[index], true);
        if !state.failing.iter().all(|&failing| failing) {
            drop(state);
            if news {
                tracing::warn!(server = self.addresses[index], reason, "left out");
            }
            return Ok(());
        }
        let news = !std::mem::replace(&mut state.said, true);
        drop(state);
        let waited = since.elapsed();
        if waited >= self.patience {
            let (servers, reason) = (self.servers(), reason.to_owned());
            return Err(ServerError::Gone { servers, waited, reason });
        }
        if news {
            let seconds = self.patience.as_secs();
            let servers = self.servers();
            let line =
                format!("reward server {servers}: {reason}; waiting for it, at most {seconds} s");
            self.waiting.tell(&Reach::Lost(line));
        }
        Ok(())
    }
}
