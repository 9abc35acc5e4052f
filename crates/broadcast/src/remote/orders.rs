//! Work orders, in Redis: a stream with one consumer group.
//!
//! `next` takes an order with a script that never blocks. Between attempts it waits on a stream
//! that only signals new orders. A future that is dropped while waiting therefore holds no order,
//! unlike with a blocking XREADGROUP.

use super::link::Ask;
use super::reply::{settled, unexpected};
use super::scripts::millis;
use super::store::{LONGEST_WAIT, RedisBroadcast};
use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::orders::{
    Delivery, InFlight, NOBODY, OrdersNonce, PendingOrder, check_order, check_orders, check_worker,
};
use ddpo_rollout::order::WorkOrder;
use redis::Cmd;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Orders per script, which then blocks the server for less than a millisecond.
const ISSUED_AT_ONCE: usize = 128;

enum Taken {
    Order { delivery_id: String, attempt: u32, order_id: String, order: String },
    Nothing { wake: String },
}

impl RedisBroadcast {
    /// Adds orders to the end of the queue. Skips orders whose id is already queued, so that
    /// repeating the call after an unclear failure is safe.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease. [`BroadcastError::Invalid`]
    /// if an order has another run or another fencing token; then nothing is issued. Otherwise
    /// errors of Redis.
    pub async fn issue(&self, lease: &Lease, orders: &[WorkOrder]) -> Result<(), BroadcastError> {
        check_orders(&self.run_id, lease, orders)?;
        for orders in orders.chunks(ISSUED_AT_ONCE) {
            let mut script = self.scripts.issue.key(self.keys.lease());
            script.key(self.keys.orders()).key(self.keys.orders_index());
            script.key(self.keys.orders_wake()).arg(lease.token.0);
            for order in orders {
                let text = serde_json::to_string(order).map_err(|error| {
                    BroadcastError::invalid(
                        "work order",
                        "a value that JSON can represent",
                        error.to_string(),
                    )
                })?;
                script.arg(&order.order_id).arg(text);
            }
            let reply = self.link.ask("issue orders", Ask::Script(&script)).await?;
            settled(lease, reply)?;
        }
        Ok(())
    }

    /// Removes all orders and begins a new queue. A learner calls it when it takes over.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease; otherwise errors of Redis.
    pub async fn clear(&self, lease: &Lease) -> Result<OrdersNonce, BroadcastError> {
        let mut script = self.scripts.clear.key(self.keys.lease());
        script.key(self.keys.orders()).key(self.keys.orders_index()).key(self.keys.orders_nonce());
        script.arg(lease.token.0);
        let reply = self.link.ask("clear the orders", Ask::Script(&script)).await?;
        let reply = settled(lease, reply)?;
        let [_, nonce] = &reply[..] else { return Err(unexpected(&reply)) };
        Ok(OrdersNonce(nonce.clone()))
    }

    /// Removes all orders except those with the given names: orders of batches that are complete, and
    /// whatever other clients have added. Returns the number of removed orders.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease; otherwise errors of Redis.
    pub async fn keep_only<'a>(
        &self,
        lease: &Lease,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<u64, BroadcastError> {
        let mut script = self.scripts.keep_only.key(self.keys.lease());
        script.key(self.keys.orders()).key(self.keys.orders_index()).arg(lease.token.0);
        names.into_iter().for_each(|name| _ = script.arg(name));
        let reply = self.link.ask("remove orders", Ask::Script(&script)).await?;
        let reply = settled(lease, reply)?;
        let [_, removed] = &reply[..] else { return Err(unexpected(&reply)) };
        removed.parse().map_err(|_| unexpected(&reply))
    }

    /// Returns whether the queue is the one that [`Self::clear`] began; `false` after a loss of
    /// Redis or another learner's `clear`.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn exists(&self, nonce: &OrdersNonce) -> Result<bool, BroadcastError> {
        let command = Cmd::get(self.keys.orders_nonce());
        let found: Option<String> =
            self.link.ask("look for the orders", Ask::Command(&command)).await?;
        Ok(found.as_ref() == Some(&nonce.0))
    }

    /// Returns the orders that are not acknowledged, oldest first. An awaited order that is missing
    /// here was lost and must be issued again.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn pending(&self) -> Result<Vec<PendingOrder>, BroadcastError> {
        let script = self.scripts.pending.key(self.keys.orders());
        let reply: Vec<Vec<u8>> = self.link.ask("list the orders", Ask::Script(&script)).await?;
        let reply: Vec<String> =
            reply.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let (entries, _) = reply.as_chunks::<4>();
        let summary = |[order_id, worker, attempt, silent_ms]: &[String; 4]| {
            let in_flight = (!worker.is_empty() && worker != NOBODY).then(|| InFlight {
                worker: worker.clone(),
                attempt: attempt.parse().unwrap_or(u32::MAX),
                silent_for: Duration::from_millis(silent_ms.parse().unwrap_or_default()),
            });
            PendingOrder { order_id: order_id.clone(), in_flight }
        };
        Ok(entries.iter().map(summary).collect())
    }

    /// Takes an order for `worker`: first an order of a silent worker, otherwise a new one. Waits
    /// until `deadline`. Dropping the future takes no order, except if an answer is under way;
    /// another worker then claims it, as from a silent worker.
    ///
    /// # Errors
    /// [`BroadcastError::MalformedOrder`] for a malformed entry, which is removed: call again.
    /// Otherwise errors of Redis.
    pub async fn next(
        &self,
        worker: &str,
        deadline: Instant,
    ) -> Result<Option<Delivery>, BroadcastError> {
        check_worker(worker)?;
        loop {
            match self.take(worker, deadline).await? {
                Taken::Order { delivery_id, attempt, order_id, order } => {
                    return self.delivery(worker, delivery_id, attempt, order_id, &order).await;
                }
                Taken::Nothing { wake } => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    self.wait(&wake, left.min(LONGEST_WAIT)).await;
                }
            }
        }
    }

    /// Reports that the worker still works on the order, which otherwise counts as silent.
    ///
    /// # Errors
    /// [`BroadcastError::LostOrder`] if the order is not delivered to the caller any more: stop
    /// working on it. Otherwise errors of Redis.
    pub async fn keep_alive(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        self.hold("keep an order", delivery, "keep").await
    }

    /// Removes a completed order, regardless of its current worker. Idempotent.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn acknowledge(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        self.remove("acknowledge an order", &delivery.delivery_id, &delivery.order.order_id).await
    }

    /// Hands an order back, so that another worker takes it immediately.
    ///
    /// # Errors
    /// [`BroadcastError::LostOrder`] if the order is not delivered to the caller any more;
    /// otherwise errors of Redis.
    pub async fn hand_back(&self, delivery: &Delivery) -> Result<(), BroadcastError> {
        self.hold("hand an order back", delivery, "back").await
    }
}

impl RedisBroadcast {
    async fn take(&self, worker: &str, deadline: Instant) -> Result<Taken, BroadcastError> {
        let mut script = self.scripts.take.key(self.keys.orders());
        script.key(self.keys.orders_wake()).arg(worker).arg(millis(self.claim_after));
        // Any client may have written the entry. One that is not text must not stay on the stream.
        let reply: Vec<Vec<u8>> =
            self.link.ask_until("take an order", Ask::Script(&script), deadline).await?;
        let reply: Vec<String> =
            reply.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        match &reply[..] {
            [status, wake] if status == "none" => Ok(Taken::Nothing { wake: wake.clone() }),
            [status, entry, attempt, fields @ ..] if status == "order" => {
                let field = |name| {
                    let mut pairs = fields.as_chunks::<2>().0.iter();
                    pairs.find(|[field, _]| field == name).map(|[_, value]| value.clone())
                };
                Ok(Taken::Order {
                    delivery_id: entry.clone(),
                    attempt: attempt.parse().unwrap_or(u32::MAX),
                    order_id: field("id").unwrap_or_default(),
                    order: field("order").unwrap_or_default(),
                })
            }
            _ => Err(unexpected(&reply)),
        }
    }

    /// Waits on a separate connection, because a blocked connection serves no other caller.
    /// Failures are left to the next attempt to take, which knows the deadline.
    async fn wait(&self, wake: &str, longest: Duration) {
        let mut command = Cmd::new();
        command.arg("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(millis(longest));
        command.arg("STREAMS").arg(self.keys.orders_wake()).arg(wake);
        let now = Instant::now();
        let woken: Result<redis::Value, _> =
            self.waiting.ask_until("wait for orders", Ask::Command(&command), now).await;
        if woken.is_err() {
            sleep(longest.min(Duration::from_millis(50))).await;
        }
    }

    async fn delivery(
        &self,
        worker: &str,
        delivery_id: String,
        attempt: u32,
        order_id: String,
        order: &str,
    ) -> Result<Option<Delivery>, BroadcastError> {
        let parsed = serde_json::from_str::<WorkOrder>(order).map_err(|error| error.to_string());
        let checked = parsed.and_then(|order| check_order(&self.run_id, order));
        match checked {
            Ok(order) => {
                let worker = worker.to_owned();
                Ok(Some(Delivery { order, attempt, delivery_id, worker }))
            }
            Err(reason) => {
                self.remove("remove a malformed order", &delivery_id, &order_id).await?;
                Err(BroadcastError::MalformedOrder { entry: delivery_id, reason })
            }
        }
    }

    async fn hold(
        &self,
        action: &'static str,
        delivery: &Delivery,
        what: &str,
    ) -> Result<(), BroadcastError> {
        let mut script = self.scripts.hold.key(self.keys.orders());
        script.key(self.keys.orders_wake()).arg(&delivery.delivery_id).arg(&delivery.worker);
        script.arg(delivery.attempt).arg(what);
        let reply: Vec<String> = self.link.ask(action, Ask::Script(&script)).await?;
        match reply.first().map(String::as_str) {
            Some("ok") => Ok(()),
            Some("gone") => Err(delivery.lost()),
            _ => Err(unexpected(&reply)),
        }
    }

    async fn remove(
        &self,
        action: &'static str,
        entry: &str,
        order_id: &str,
    ) -> Result<(), BroadcastError> {
        let mut script = self.scripts.done.key(self.keys.orders());
        script.key(self.keys.orders_index()).arg(entry).arg(order_id);
        let _: Vec<String> = self.link.ask(action, Ask::Script(&script)).await?;
        Ok(())
    }
}
