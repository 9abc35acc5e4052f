//! Handles of an outgoing trajectory: its states, and its receipt.

use super::entry::Ending;
use super::shared::Shared;
use crate::destination::Destination;
use bytes::Bytes;
use ddpo_proto::convert::header::UnsendableHeader;
use ddpo_proto::convert::score;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::{GivenScore, Opening, Receipt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use thiserror::Error;
use tokio::sync::oneshot;

/// Errors of a trajectory that cannot be sent.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Unsendable {
    /// The header is invalid.
    #[error(transparent)]
    Header(#[from] UnsendableHeader),
    /// The score, the log-probabilities or the number of states is invalid.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A state has the wrong number of bytes.
    #[error("state {index}: expected {expected} bytes, found {found}")]
    StateSize {
        /// Position of the state.
        index: usize,
        /// Bytes according to shape and dtype.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// All states were already added.
    #[error("states: expected no more than {0}")]
    TooManyStates(usize),
    /// The learner requires a score.
    #[error("score: expected one on the way to the learner, found none")]
    ScoreMissing,
    /// The uplink is closed.
    #[error("uplink: expected an open one, found it closed")]
    Closed,
}

/// A trajectory that is being drawn. Dropping it before [`finish`](Self::finish) abandons it.
#[derive(Debug)]
pub struct OutgoingTrajectory {
    shared: Arc<Shared>,
    id: u64,
    state_bytes: usize,
    state_count: usize,
    random_steps: usize,
    appended: usize,
    ended: bool,
}

impl OutgoingTrajectory {
    pub(super) fn new(shared: Arc<Shared>, id: u64, opening: &Opening) -> Self {
        Self {
            shared,
            id,
            state_bytes: opening.state_bytes(),
            state_count: opening.state_count(),
            random_steps: opening.header.random_steps.len(),
            appended: 0,
            ended: false,
        }
    }

    /// Adds the next state, x_T first. Never blocks.
    ///
    /// # Errors
    /// One state too many, or a state of the wrong size.
    pub fn append_state(&mut self, state: Bytes) -> Result<(), Unsendable> {
        let (index, expected, found) = (self.appended, self.state_bytes, state.len());
        if index == self.state_count {
            return Err(Unsendable::TooManyStates(self.state_count));
        }
        if found != expected {
            return Err(Unsendable::StateSize { index, expected, found });
        }
        self.appended += 1;
        // A missing entry already has its receipt: the trajectory was rejected early.
        self.shared.table().append(self.id, state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Finishes the trajectory: with a score for the learner, without one for the rewarder. Never
    /// blocks.
    ///
    /// # Errors
    /// Missing states, the wrong number of log-probabilities, or a score that is missing, malformed
    /// or not expected. The trajectory is then abandoned.
    pub fn finish(
        mut self,
        log_probs: Vec<f32>,
        score: Option<GivenScore>,
    ) -> Result<(), Unsendable> {
        let ending = self.ending(log_probs, score.as_ref()).inspect_err(|error| {
            self.end(Ending::Abandoned(error.to_string()));
        })?;
        self.end(ending);
        Ok(())
    }

    fn ending(
        &self,
        log_probs: Vec<f32>,
        scored: Option<&GivenScore>,
    ) -> Result<Ending, Unsendable> {
        let (expected, found) = (self.state_count, self.appended);
        if found != expected {
            return Err(Malformed::StatesMissing { expected, found }.into());
        }
        let (expected, found) = (self.random_steps, log_probs.len());
        if found != expected {
            return Err(Malformed::LogProbCount { expected, found }.into());
        }
        if let Some(position) = log_probs.iter().position(|value| !value.is_finite()) {
            return Err(Malformed::LogProbNotFinite(position).into());
        }
        let settings = &self.shared.settings;
        let score = match (settings.destination, scored) {
            (Destination::Rewarder, None) => None,
            (Destination::Rewarder, Some(_)) => return Err(Malformed::ScoreForbidden.into()),
            (Destination::Learner, None) => return Err(Unsendable::ScoreMissing),
            (Destination::Learner, Some(scored)) => Some(score::to_wire(scored, &settings.limits)?),
        };
        Ok(Ending::Finished { log_probs, score })
    }

    /// Abandons the trajectory, which then gets no receipt. Never blocks.
    pub fn abandon(mut self, reason: impl Into<String>) {
        self.end(Ending::Abandoned(reason.into()));
    }

    fn end(&mut self, ending: Ending) {
        if !std::mem::replace(&mut self.ended, true) {
            self.shared.change(|table| table.end(self.id, ending));
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for OutgoingTrajectory {
    fn drop(&mut self) {
        self.end(Ending::Abandoned("the sender stopped before it was complete".to_owned()));
    }
}

/// Errors from waiting for a receipt.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoReceipt {
    /// The trajectory was abandoned, or the uplink was closed.
    #[error("receipt: expected one, found the trajectory abandoned or the uplink closed")]
    GivenUp,
}

/// Resolves to the receipt, possibly before the trajectory is finished. Never resolves to
/// RETRY_LATER, because the uplink resends the trajectory.
#[derive(Debug)]
pub struct PendingReceipt(pub(super) oneshot::Receiver<Receipt>);

impl Future for PendingReceipt {
    type Output = Result<Receipt, NoReceipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| NoReceipt::GivenUp)
    }
}
