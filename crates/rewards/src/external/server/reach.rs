//! Whether any server answers: when to say that none does, and when to give up.

use super::error::ServerError;
use crate::external::waiting::{Reach, Waiting};
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of all servers together. Lives on the client's one thread.
pub(super) struct Reachability {
    addresses: Vec<String>,
    waiting: Waiting,
    patience: Duration,
    state: RefCell<State>,
}

struct State {
    /// Whose last attempt was in vain.
    failing: Vec<bool>,
    /// The first attempt in vain since the last answer.
    since: Option<Instant>,
    /// It was said that nobody answers.
    said: bool,
}

impl Reachability {
    pub(super) fn new(addresses: Vec<String>, waiting: Waiting) -> Self {
        let failing = vec![false; addresses.len()];
        let patience = waiting.at_start;
        let state = RefCell::new(State { failing, since: None, said: false });
        Self { addresses, waiting, patience, state }
    }

    /// From here on it is the run that waits.
    pub(super) fn opened(&mut self) {
        self.patience = self.waiting.patience;
    }

    /// All servers, for messages.
    pub(super) fn servers(&self) -> String {
        self.addresses.join(", ")
    }

    /// Whether nobody answers.
    pub(super) fn is_lost(&self) -> bool {
        self.state.borrow().said
    }

    /// Somebody waits in vain and has called it off.
    pub(super) fn check_called_off(&self) -> Result<(), ServerError> {
        match self.is_lost() && self.waiting.is_called_off() {
            true => Err(ServerError::CalledOff(self.servers())),
            false => Ok(()),
        }
    }

    /// Server `index` has answered.
    pub(super) fn answered(&self, index: usize) {
        let mut state = self.state.borrow_mut();
        state.failing[index] = false;
        state.since = None;
        if std::mem::take(&mut state.said) {
            drop(state);
            let line = format!("reward server {}: answers again", self.addresses[index]);
            self.waiting.tell(&Reach::Found(line));
        }
    }

    /// An attempt at server `index` was in vain.
    ///
    /// # Errors
    /// [`ServerError::Gone`] where nobody has answered for longer than the patience.
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
