//! Work orders, in this process.

use super::LocalBroadcast;
use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::orders::{
    Delivery, InFlight, OrderQueue, OrdersNonce, PendingOrder, check_orders, check_worker,
};
use async_trait::async_trait;
use ddpo_rollout::order::WorkOrder;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    last: u64,
    nonce: Option<String>,
}

#[derive(Debug)]
struct Entry {
    order: WorkOrder,
    attempt: u32,
    holder: Option<(String, Instant)>,
}

impl Queue {
    fn issue(&mut self, order: &WorkOrder) {
        if self.entries.values().any(|entry| entry.order.order_id == order.order_id) {
            return;
        }
        self.last += 1;
        let entry = Entry { order: order.clone(), attempt: 0, holder: None };
        self.entries.insert(self.last, entry);
    }

    /// Orders that were delivered before come first, as in Redis; then new ones.
    fn take(&mut self, worker: &str, claim_after: Duration) -> Option<Delivery> {
        let free = |entry: &Entry| match &entry.holder {
            Some((_, at)) => at.elapsed() >= claim_after,
            None => true,
        };
        let again = |entry: &Entry| entry.attempt > 0 && free(entry);
        let found = self.entries.iter().find(|(_, entry)| again(entry));
        let id = *found.or_else(|| self.entries.iter().find(|(_, entry)| free(entry)))?.0;
        let entry = self.entries.get_mut(&id)?;
        entry.attempt = entry.attempt.saturating_add(1);
        entry.holder = Some((worker.to_owned(), Instant::now()));
        let (order, attempt) = (entry.order.clone(), entry.attempt);
        Some(Delivery { order, attempt, delivery_id: id.to_string(), worker: worker.to_owned() })
    }

    /// The entry, if this very delivery still holds it.
    fn held(&mut self, delivery: &Delivery) -> Result<&mut Entry, BroadcastError> {
        let id: u64 = delivery.delivery_id.parse().map_err(|_| delivery.lost())?;
        let mine = |entry: &&mut Entry| {
            entry.attempt == delivery.attempt
                && entry.holder.as_ref().is_some_and(|(worker, _)| *worker == delivery.worker)
        };
        self.entries.get_mut(&id).filter(mine).ok_or_else(|| delivery.lost())
    }

    /// When the next holder counts as silent.
    fn next_claim(&self, claim_after: Duration) -> Option<Instant> {
        let holders = self.entries.values().filter_map(|entry| entry.holder.as_ref());
        holders.map(|(_, at)| *at + claim_after).min()
    }
}

#[async_trait]
impl OrderQueue for LocalBroadcast {
    async fn issue(&self, lease: &Lease, orders: &[WorkOrder]) -> Result<(), BroadcastError> {
        check_orders(&self.config.run_id, lease, orders)?;
        let mut state = self.locked();
        state.lease.check(lease)?;
        orders.iter().for_each(|order| state.queue.issue(order));
        self.order_added.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn clear(&self, lease: &Lease) -> Result<OrdersNonce, BroadcastError> {
        let mut state = self.locked();
        state.lease.check(lease)?;
        let queue = &mut state.queue;
        queue.entries.clear();
        queue.last += 1;
        let nonce = format!("{}-{}-{}", lease.token, super::unix_ms(), queue.last);
        queue.nonce = Some(nonce.clone());
        Ok(OrdersNonce(nonce))
    }

    async fn exists(&self, nonce: &OrdersNonce) -> Result<bool, BroadcastError> {
        Ok(self.locked().queue.nonce.as_ref() == Some(&nonce.0))
    }

    async fn pending(&self) -> Result<Vec<PendingOrder>, BroadcastError> {
        let summary = |entry: &Entry| PendingOrder {
            order_id: entry.order.order_id.clone(),
            in_flight: entry.holder.as_ref().map(|(worker, at)| InFlight {
                worker: worker.clone(),
                attempt: entry.attempt,
                silent_for: at.elapsed(),
            }),
        };
        Ok(self.locked().queue.entries.values().map(summary).collect())
    }

    async fn next(
        &self,
        worker: &str,
        deadline: Instant,
    ) -> Result<Option<Delivery>, BroadcastError> {
        check_worker(worker)?;
        let claim_after = self.config.claim_after;
        let mut added = self.order_added.subscribe();
        loop {
            let claim = {
                let mut state = self.locked();
                if let Some(delivery) = state.queue.take(worker, claim_after) {
                    return Ok(Some(delivery));
                }
                state.queue.next_claim(claim_after)
            };
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let until = claim.map_or(deadline, |claim| claim.min(deadline));
            // Whether woken or not, the queue is looked at again; the sender lives as long as self.
            let _ = timeout_at(until, added.changed()).await;
        }
    }

    async fn keep_alive(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        let mut state = self.locked();
        state.queue.held(delivery)?.holder = Some((delivery.worker.clone(), Instant::now()));
        Ok(())
    }

    async fn acknowledge(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        let mut state = self.locked();
        if let Ok(id) = delivery.delivery_id.parse::<u64>()
            && state.queue.entries.get(&id).is_some_and(|entry| entry.order == delivery.order)
        {
            state.queue.entries.remove(&id);
        }
        Ok(())
    }

    async fn hand_back(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        self.locked().queue.held(delivery)?.holder = None;
        self.order_added.send_modify(|count| *count += 1);
        Ok(())
    }
}
