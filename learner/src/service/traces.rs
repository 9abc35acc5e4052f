//! The learner's ends of a trajectory's trace: a span for each order, from its issue until its samples
//! are used up, and in each of them one for the update that uses them.
//!
//! ```text
//! order -- draw -- send -- relay -- score
//!   |                        `----- accept
//!   `-- update
//! ```
//!
//! `draw` is the sampler's, one for each attempt; `send`, `relay`, `score` and `accept` are there for
//! each trajectory. An evaluation's orders have no update.

use crate::service::ledger::BatchKey;
use ddpo_rollout::order::WorkOrder;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tracing::Span;

/// The spans of the batches that are waited for or at work.
#[derive(Debug, Default)]
pub struct OrderTraces {
    open: RefCell<BTreeMap<BatchKey, Vec<Span>>>,
}

/// The spans of an update, which end with it.
#[derive(Debug)]
pub struct UpdateTraces {
    _spans: Vec<Span>,
}

impl OrderTraces {
    /// The span of an order, before it is issued.
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

    /// The spans of a batch's orders, which stay open until [`end`](Self::end).
    pub fn begin(&self, key: BatchKey, orders: Vec<Span>) {
        self.open.borrow_mut().insert(key, orders);
    }

    /// The batch is trained on from now on, until what this gives is dropped.
    pub fn update(&self, key: BatchKey, version: u64) -> UpdateTraces {
        let open = self.open.borrow();
        let update = |order| tracing::info_span!(parent: order, "update", policy.version = version);
        UpdateTraces { _spans: open.get(&key).into_iter().flatten().map(update).collect() }
    }

    /// The batch is used up.
    pub fn end(&self, key: BatchKey) {
        self.open.borrow_mut().remove(&key);
    }
}
