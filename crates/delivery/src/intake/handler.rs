//! A service's side of an intake: events, trajectories, receipts.

use crate::assembler::Ticket;
use crate::incoming::IncomingTrajectory;
use bytes::Bytes;
use ddpo_proto::convert::run::RunDescription;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::{Opening, Receipt, Verdict};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Events of a trajectory before it is complete, or instead.
#[derive(Clone, Debug)]
pub enum IntakeEvent<'a> {
    /// A trajectory begins.
    Opened {
        /// Its header.
        opening: &'a Arc<Opening>,
    },
    /// A state is there.
    State {
        /// Its header.
        opening: &'a Arc<Opening>,
        /// Position of the state, 0 for x_T.
        index: usize,
        /// The state; a clone shares it.
        state: &'a Bytes,
    },
    /// The sender abandoned it.
    Abandoned {
        /// Its header.
        opening: &'a Arc<Opening>,
        /// Why.
        reason: &'a str,
    },
    /// Its stream ended before it was complete; it will come again.
    Lost {
        /// Its header.
        opening: &'a Arc<Opening>,
    },
    /// It was malformed; its INVALID receipt is on its way.
    Rejected {
        /// Its id, as far as it can be read.
        trajectory_id: &'a str,
        /// What is wrong.
        error: &'a Malformed,
    },
}

/// An answer before anything but the header has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// A service's side of an [`Intake`](super::Intake). All methods are called from the stream's task.
pub trait IntakeHandler: Send + Sync + 'static {
    /// Decides on a trajectory by its header. An early refusal saves the transfer of its states.
    ///
    /// # Errors
    /// The answer for an unwanted trajectory; none of its states is read.
    fn admit(&self, _opening: &Opening) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns the run that trajectories are taken for; `None` while there is none. The learner's
    /// answer to rewarders.
    fn describe(&self) -> Option<RunDescription> {
        None
    }

    /// For inspection, and for passing states on as they come. Must not block.
    fn on_event(&self, _event: IntakeEvent<'_>) {}

    /// Takes a complete trajectory. The receipt may be answered at once, or from elsewhere later.
    /// While this waits, the stream reads no further frame, but its receipts go out.
    fn complete(
        &self,
        trajectory: IncomingTrajectory,
        receipt: ReceiptSender,
    ) -> impl Future<Output = ()> + Send;
}

/// A receipt on its way to the stream's task.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) ticket: Ticket,
    pub(super) receipt: Receipt,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Answers one trajectory, once. Dropped without an answer, it sends [`Verdict::RetryLater`]. If
/// the stream is gone, the answer goes nowhere: the trajectory will come again.
#[derive(Debug)]
pub struct ReceiptSender {
    ticket: Ticket,
    trajectory_id: String,
    /// Unbounded, but holds at most one answer for each credit of the stream.
    answers: mpsc::UnboundedSender<Answer>,
    /// Counts the trajectory against the intake's bound until its answer.
    permit: Option<OwnedSemaphorePermit>,
    answered: bool,
}

impl ReceiptSender {
    pub(super) fn new(
        ticket: Ticket,
        trajectory_id: String,
        answers: mpsc::UnboundedSender<Answer>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { ticket, trajectory_id, answers, permit, answered: false }
    }

    /// Returns the id of the trajectory.
    pub fn trajectory_id(&self) -> &str {
        &self.trajectory_id
    }

    /// Answers. Never blocks.
    pub fn answer(mut self, verdict: Verdict, reason: impl Into<String>) {
        self.send(verdict, reason.into());
    }

    fn send(&mut self, verdict: Verdict, reason: String) {
        self.answered = true;
        let trajectory_id = std::mem::take(&mut self.trajectory_id);
        let receipt = Receipt { trajectory_id, verdict, reason };
        // An error means that the stream is gone, and with it whoever could be answered.
        let (ticket, permit) = (self.ticket, self.permit.take());
        let _ = self.answers.send(Answer { ticket, receipt, permit });
    }
}

impl Drop for ReceiptSender {
    fn drop(&mut self) {
        if !self.answered {
            self.send(Verdict::RetryLater, "the service dropped it without an answer".to_owned());
        }
    }
}
