//! Errors, commands and the handle of the store task.

use crate::service::ledger::BatchKey;
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::source::PublishRequest;
use ddpo_rollout::order::WorkOrder;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Errors of the store task.
#[derive(Clone, Debug, Error)]
pub enum StoreTaskError {
    /// Another learner has taken over.
    #[error("learner: another learner has taken over: {0}")]
    Deposed(BroadcastError),
    /// Redis refused, or was unreachable for too long.
    #[error("learner: {0}")]
    Store(#[from] BroadcastError),
    /// The store task did not answer in time.
    #[error("learner: the store task did not answer within {0:?}")]
    Slow(Duration),
    /// The store task had already ended, for this reason.
    #[error("{0}")]
    Ended(String),
    /// The store task has ended.
    #[error("learner: the store task has stopped")]
    Stopped,
}

/// Receives the answer to a command.
pub type Reply = oneshot::Sender<Result<(), StoreTaskError>>;

/// What the store task is told to do.
pub enum Command {
    /// Store weights.
    Publish(PublishRequest, Reply),
    /// Issue the orders of a batch.
    Issue(BatchKey, Vec<WorkOrder>, Reply),
    /// Forget the orders of a complete batch.
    Done(BatchKey, Reply),
    /// Release the lease and end.
    Release(Reply),
}

/// State of the store task.
#[derive(Clone, Debug, Default)]
pub enum StoreState {
    /// The task holds the lease.
    #[default]
    Holding,
    /// Redis is unreachable at the moment.
    Unreachable(String),
    /// The task has ended, with the reason.
    Ended(String),
}

/// Sends commands to the store task from a thread that may block.
#[derive(Clone, Debug)]
pub struct StoreTaskHandle {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<StoreState>,
    token: watch::Receiver<u64>,
}

impl StoreTaskHandle {
    /// Returns the handle of a task that receives `commands` and sends its state and its fencing token.
    pub fn new(
        commands: mpsc::Sender<Command>,
        state: watch::Receiver<StoreState>,
        token: watch::Receiver<u64>,
    ) -> Self {
        Self { commands, state, token }
    }

    /// Stores weights, and returns when samplers can load them.
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub fn publish(&self, request: PublishRequest) -> Result<(), StoreTaskError> {
        self.ask(|reply| Command::Publish(request, reply))
    }

    /// Issues the orders of a batch. The task keeps them, and issues them again after a loss, until
    /// [`StoreTaskHandle::done`].
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub fn issue(&self, key: BatchKey, orders: Vec<WorkOrder>) -> Result<(), StoreTaskError> {
        self.ask(|reply| Command::Issue(key, orders, reply))
    }

    /// Forgets the orders of a batch that is complete.
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub fn done(&self, key: BatchKey) -> Result<(), StoreTaskError> {
        self.ask(|reply| Command::Done(key, reply))
    }

    /// Releases the lease and ends the task.
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub fn release(&self) -> Result<(), StoreTaskError> {
        self.ask(Command::Release)
    }

    /// Releases the lease and ends the task, or fails after `deadline`. For callers to whom Redis may be
    /// unreachable.
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub async fn release_within(&self, deadline: Duration) -> Result<(), StoreTaskError> {
        let released = async {
            let (reply, answer) = oneshot::channel();
            self.commands.send(Command::Release(reply)).await.map_err(|_| self.ended())?;
            answer.await.unwrap_or_else(|_| Err(self.ended()))
        };
        timeout(deadline, released).await.unwrap_or(Err(StoreTaskError::Slow(deadline)))
    }

    /// Returns the state of the store task.
    pub fn state(&self) -> StoreState {
        self.state.borrow().clone()
    }

    /// Returns the current fencing token.
    pub fn token(&self) -> u64 {
        *self.token.borrow()
    }

    fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), StoreTaskError> {
        let (reply, answer) = oneshot::channel();
        self.commands.blocking_send(command(reply)).map_err(|_| self.ended())?;
        // The task answers every command before its deadline, or ends and drops the reply.
        answer.blocking_recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Returns why the task ended; the task publishes the reason before it ends.
    fn ended(&self) -> StoreTaskError {
        match self.state() {
            StoreState::Ended(reason) => StoreTaskError::Ended(reason),
            StoreState::Holding | StoreState::Unreachable(_) => StoreTaskError::Stopped,
        }
    }
}
