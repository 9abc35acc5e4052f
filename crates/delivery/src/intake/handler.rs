//! The service's side of an intake: events, trajectories, receipts.

use crate::assembler::Ticket;
use crate::incoming::IncomingTrajectory;
use bytes::Bytes;
use ddpo_proto::convert::run::RunDescription;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::stream::{Opening, Receipt, Verdict};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Events of a trajectory that is not complete.
#[derive(Clone, Debug)]
pub enum IntakeEvent<'a> {
    /// A trajectory begins.
    Opened {
        /// Its header.
        opening: &'a Arc<Opening>,
    },
    /// A state is complete.
    State {
        /// Its header.
        opening: &'a Arc<Opening>,
        /// Position of the state, 0 for x_T.
        index: usize,
        /// The state; a clone shares it.
        state: &'a Bytes,
    },
    /// The sender abandoned the trajectory.
    Abandoned {
        /// Its header.
        opening: &'a Arc<Opening>,
        /// The reason.
        reason: &'a str,
    },
    /// The stream ended before the trajectory was complete; the sender will resend it.
    Lost {
        /// Its header.
        opening: &'a Arc<Opening>,
    },
    /// The trajectory is malformed; an INVALID receipt is sent.
    Rejected {
        /// Its id, as far as it is readable.
        trajectory_id: &'a str,
        /// The mistake.
        error: &'a Malformed,
    },
}

/// The receipt for a trajectory that is rejected by its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: String,
}

/// A service's side of an [`Intake`](super::Intake). All methods are called from the stream's task.
pub trait IntakeHandler: Send + Sync + 'static {
    /// Decides on a trajectory by its header. An early rejection saves the transfer of its states.
    ///
    /// # Errors
    /// The receipt for an unwanted trajectory; its states are not read.
    fn admit(&self, _opening: &Opening) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns the run that trajectories are accepted for; `None` while no run is open. Answers
    /// `DescribeRun`.
    fn describe(&self) -> Option<RunDescription> {
        None
    }

    /// Observes events, for inspection and for forwarding states early. Must not block.
    fn on_event(&self, _event: IntakeEvent<'_>) {}

    /// Takes a complete trajectory. The receipt may be sent immediately or later, from any task.
    /// Until this future completes, the stream reads no further frame, but its receipts are sent.
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

/// Sends the receipt of one trajectory, once. Dropped unused, it sends [`Verdict::RetryLater`]. If
/// the stream has ended, the receipt is discarded, and the sender will resend the trajectory.
#[derive(Debug)]
pub struct ReceiptSender {
    ticket: Ticket,
    trajectory_id: String,
    /// Unbounded, but holds at most one answer per credit of the stream.
    answers: mpsc::UnboundedSender<Answer>,
    /// Counts the trajectory towards the intake's limit until its answer.
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

    /// Sends the receipt. Never blocks.
    pub fn answer(mut self, verdict: Verdict, reason: impl Into<String>) {
        self.send(verdict, reason.into());
    }

    fn send(&mut self, verdict: Verdict, reason: String) {
        self.answered = true;
        let trajectory_id = std::mem::take(&mut self.trajectory_id);
        let receipt = Receipt { trajectory_id, verdict, reason };
        // An error means that the stream has ended.
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
