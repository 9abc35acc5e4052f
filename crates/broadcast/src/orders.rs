//! Work orders. The learner issues them under its lease. One sampler at a time works on an order;
//! if it falls silent, another takes over. Delivery is at least once, which is safe, because an
//! order gives the same trajectories on every sampler.

use crate::error::BroadcastError;
use crate::lease::Lease;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WorkOrder;
use std::time::Duration;

/// Identifies one queue of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersNonce(pub(crate) String);

/// An order delivered to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The order.
    pub order: WorkOrder,
    /// The number of this delivery of the order, from 1.
    pub attempt: u32,
    /// Id of the queue's entry.
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

/// An order that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOrder {
    /// Name of the order.
    pub order_id: String,
    /// Its current delivery; `None` if no worker has it.
    pub in_flight: Option<InFlight>,
}

/// The current delivery of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The worker.
    pub worker: String,
    /// The number of this delivery of the order, from 1.
    pub attempt: u32,
    /// Time since the worker's last keep-alive for the order.
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

/// Largest number of samples of an order. Any client of Redis may have written it.
const MOST_SAMPLES: usize = 1 << 16;

/// Checks an order from the queue before a worker uses its numbers.
///
/// # Errors
/// The first mistake: another run, a purpose that is never drawn, or a number of samples.
pub(crate) fn check_order(run_id: &str, order: WorkOrder) -> Result<WorkOrder, String> {
    let samples = order.samples.len();
    if order.run_id != run_id {
        return Err(format!("expected the run {run_id:?}, found {:?}", order.run_id));
    }
    if !matches!(order.purpose, Purpose::Rollout | Purpose::Evaluation) {
        return Err(format!("expected a rollout or an evaluation, found {:?}", order.purpose));
    }
    if !(1..=MOST_SAMPLES).contains(&samples) {
        return Err(format!("expected 1 to {MOST_SAMPLES} samples, found {samples}"));
    }
    Ok(order)
}

/// The consumer name of orders that were handed back; no worker may have it.
pub(crate) const NOBODY: &str = "-";

pub(crate) fn check_worker(worker: &str) -> Result<(), BroadcastError> {
    if worker.is_empty() || worker == NOBODY {
        return Err(BroadcastError::invalid("worker", "a name", format!("{worker:?}")));
    }
    Ok(())
}
