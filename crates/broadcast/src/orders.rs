//! Work orders: issued by the learner under its lease, each taken by one sampler at a time, and
//! taken over by another when the first falls silent. Delivery is at least once; an order gives
//! the same trajectories whoever works on it, so that does no harm.

use crate::error::BroadcastError;
use crate::lease::Lease;
use ddpo_rollout::order::WorkOrder;
use std::time::Duration;

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
