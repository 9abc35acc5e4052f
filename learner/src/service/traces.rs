//! The learner's spans of a trajectory's trace: one for each order, from its issue until its
//! samples are used, and a child span for the update that uses them.
//!
//! ```text
//! order -- draw -- send -- relay -- score
//!   |                        `----- accept
//!   `-- update
//! ```
//!
//! The sampler creates a `draw` for each attempt; each trajectory has a `send`, `relay`, `score`
//! and `accept`. An evaluation's orders have no update.

use crate::service::ledger::BatchKey;
use ddpo_rollout::order::WorkOrder;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tracing::Span;

/// The spans of batches that are awaited or in use.
#[derive(Debug, Default)]
pub struct OrderTraces {
    open: RefCell<BTreeMap<BatchKey, Vec<Span>>>,
}

/// The spans of an update; dropping it ends them.
#[derive(Debug)]
pub struct UpdateTraces {
    _spans: Vec<Span>,
}

impl OrderTraces {
    /// Creates the span of an order before the order is issued.
    pub fn order(order: &WorkOrder) -> Span {
        let WorkOrder { order_id, epoch, purpose, weights, .. } = order;
        let (version, samples) = (weights.version.0, order.samples.len());
        tracing::info_span!(
            parent: None,
            "order",
            order.id = order_id,
            purpose = ?purpose,
            epoch,
            policy.version = version,
            batch.size = samples
        )
    }

    /// Keeps the spans of a batch's orders open until [`end`](Self::end).
    pub fn begin(&self, key: BatchKey, orders: Vec<Span>) {
        self.open.borrow_mut().insert(key, orders);
    }

    /// Starts the spans of an update on the batch; they end when the result is dropped.
    pub fn update(&self, key: BatchKey, version: u64) -> UpdateTraces {
        let open = self.open.borrow();
        let update = |order| tracing::info_span!(parent: order, "update", policy.version = version);
        UpdateTraces { _spans: open.get(&key).into_iter().flatten().map(update).collect() }
    }

    /// Ends the spans of a batch.
    pub fn end(&self, key: BatchKey) {
        self.open.borrow_mut().remove(&key);
    }
}
