//! Work orders: issued by the learner under its lease, each taken by one sampler at a time, and
//! taken over by another when the first falls silent. Delivery is at least once; an order gives
//! the same trajectories whoever works on it, so that does no harm.

use crate::error::BroadcastError;
use crate::lease::Lease;
use async_trait::async_trait;
use ddpo_rollout::order::WorkOrder;
use std::time::Duration;
use tokio::time::Instant;

/// The queue of work orders of a run.
#[async_trait]
pub trait OrderQueue: Send + Sync {
    /// Adds orders to the queue, in this order. An order whose name is already there is left as it
    /// is, so that issuing again after an unclear failure does no harm.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when the caller is no longer the learner.
    /// [`BroadcastError::Invalid`] when an order carries another run or another fencing token;
    /// nothing is issued then. Otherwise the store's failures.
    async fn issue(&self, lease: &Lease, orders: &[WorkOrder]) -> Result<(), BroadcastError>;

    /// Removes every order and begins a new queue: what a learner that takes over does first.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when the caller is no longer the learner; otherwise the
    /// store's failures.
    async fn clear(&self, lease: &Lease) -> Result<OrdersNonce, BroadcastError>;

    /// Whether the queue is still the one that [`OrderQueue::clear`] began: not after a wipe, and
    /// not after another learner's `clear`.
    ///
    /// # Errors
    /// The store's failures.
    async fn exists(&self, nonce: &OrdersNonce) -> Result<bool, BroadcastError>;

    /// Every order that is not yet acknowledged, oldest first. An order that the learner still
    /// waits for and that is not among these was lost, and has to be issued again.
    ///
    /// # Errors
    /// The store's failures.
    async fn pending(&self) -> Result<Vec<PendingOrder>, BroadcastError>;

    /// Takes an order for `worker`: first one whose worker fell silent, else a new one; waits for
    /// one until `deadline`. Dropping the future takes no order, unless an answer was under way;
    /// such an order is taken over by another like that of a silent worker.
    ///
    /// # Errors
    /// [`BroadcastError::MalformedOrder`] for an entry that is no order: it was removed, so call
    /// again. Otherwise the store's failures.
    async fn next(
        &self,
        worker: &str,
        deadline: Instant,
    ) -> Result<Option<Delivery>, BroadcastError>;

    /// Tells that the worker still works on the order; otherwise it counts as silent.
    ///
    /// # Errors
    /// [`BroadcastError::LostOrder`] when another worker has the order by now, or nobody: stop
    /// working on it. Otherwise the store's failures.
    async fn keep_alive(&self, delivery: &Delivery) -> Result<(), BroadcastError>;

    /// Removes an order whose trajectories have all arrived, whoever has it by now. Twice is fine.
    ///
    /// # Errors
    /// The store's failures.
    async fn acknowledge(&self, delivery: &Delivery) -> Result<(), BroadcastError>;

    /// Gives an order back, so that another worker takes it at once.
    ///
    /// # Errors
    /// [`BroadcastError::LostOrder`] when it was no longer the caller's; otherwise the store's
    /// failures.
    async fn hand_back(&self, delivery: &Delivery) -> Result<(), BroadcastError>;
}

/// Tells one queue from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersNonce(pub(crate) String);

/// An order in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The order.
    pub order: WorkOrder,
    /// Which delivery of this order it is, from 1.
    pub attempt: u32,
    /// Name of the queue's entry.
    pub delivery_id: String,
    /// The worker it was delivered to.
    pub worker: String,
}

impl Delivery {
    pub(crate) fn lost(&self) -> BroadcastError {
        let (order_id, worker) = (self.order.order_id.clone(), self.worker.clone());
        BroadcastError::LostOrder { order_id, worker, attempt: self.attempt }
    }
}

/// An order that is not yet acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOrder {
    /// Name of the order.
    pub order_id: String,
    /// Who works on it; nobody yet if `None`.
    pub in_flight: Option<InFlight>,
}

/// Who works on an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The worker.
    pub worker: String,
    /// Which delivery of the order it is, from 1.
    pub attempt: u32,
    /// How long ago the worker last gave a sign of life for it.
    pub silent_for: Duration,
}

pub(crate) fn check_orders(
    run_id: &str,
    lease: &Lease,
    orders: &[WorkOrder],
) -> Result<(), BroadcastError> {
    for order in orders {
        if order.run_id != run_id {
            return Err(BroadcastError::invalid("run of an order", run_id, &order.run_id));
        }
        if order.fence != lease.token.0 {
            let (expected, found) = (lease.token.to_string(), order.fence.to_string());
            return Err(BroadcastError::invalid("fencing token of an order", expected, found));
        }
        if order.order_id.is_empty() {
            return Err(BroadcastError::invalid("name of an order", "a name", "nothing"));
        }
    }
    Ok(())
}

/// The name under which an order waits that was handed back; no worker may have it.
pub(crate) const NOBODY: &str = "-";

pub(crate) fn check_worker(worker: &str) -> Result<(), BroadcastError> {
    if worker.is_empty() || worker == NOBODY {
        return Err(BroadcastError::invalid("worker", "a name", format!("{worker:?}")));
    }
    Ok(())
}
