//! The learner's access to Redis: one task holds the lease, publishes weights, issues orders, and
//! restores what Redis has lost. Other code sends it messages, so its steps never interleave.

use crate::service::ledger::{BatchKey, Ledger};
use crate::service::store_handle::{Command, StoreState, StoreTaskError, StoreTaskHandle};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{Lease, LeaseRequest};
use ddpo_broadcast::orders::OrdersNonce;
use ddpo_broadcast::remote::RedisBroadcast;
use ddpo_broadcast::source::{Exposure, PublishRequest};
use ddpo_rollout::order::{RunSpec, WeightsId, WorkOrder};
use ddpo_service::metrics::Metrics;
use ddpo_service::shutdown::Shutdown;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Pause between two attempts to reach Redis.
const PAUSE: Duration = Duration::from_millis(250);

/// How long to retry after a shutdown request: less than the grace period.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Shortest time between two verifications of weights, each of which reads all of them.
const VERIFIED_FOR: Duration = Duration::from_secs(2);

/// Settings of the store task.
#[derive(Clone, Debug)]
pub struct StoreTaskConfig {
    /// Interval of renewing the lease and checking Redis.
    pub tick: Duration,
    /// How long to retry while Redis is unreachable.
    pub patience: Duration,
    /// The shutdown request, which shortens the patience to a few seconds.
    pub shutdown: Shutdown,
}

impl Default for StoreTaskConfig {
    fn default() -> Self {
        let (tick, patience) = (Duration::from_secs(1), Duration::from_secs(120));
        Self { tick, patience, shutdown: Shutdown::new() }
    }
}

/// The task that owns the lease and all writes to Redis.
pub struct StoreTask {
    config: StoreTaskConfig,
    store: Arc<RedisBroadcast>,
    ledger: Arc<Ledger>,
    spec: RunSpec,
    lease: Lease,
    nonce: OrdersNonce,
    published: BTreeMap<WeightsId, PublishRequest>,
    orders: BTreeMap<BatchKey, Vec<WorkOrder>>,
    state: watch::Sender<StoreState>,
    token: watch::Sender<u64>,
    metrics: Metrics,
    /// When weights were last verified.
    verified: Option<Instant>,
    /// Errors of Redis one after the other.
    failures: u32,
    /// When the task noticed the shutdown request.
    stopping: Option<Instant>,
}

impl StoreTask {
    /// Writes the run's specification under `lease`, removes the orders of the previous learner,
    /// and starts the task. Counts every error of Redis in `metrics`, also transient ones.
    ///
    /// # Errors
    /// [`StoreTaskError`].
    pub async fn start(
        config: StoreTaskConfig,
        store: Arc<RedisBroadcast>,
        ledger: Arc<Ledger>,
        spec: RunSpec,
        lease: Lease,
        metrics: Metrics,
    ) -> Result<StoreTaskHandle, StoreTaskError> {
        // Creates the counter at 0, so that monitoring sees its first rise.
        metrics.errors.add(["store"], 0);
        store.put_run_spec(&lease, &spec).await?;
        let nonce = store.clear(&lease).await?;
        let (commands, inbox) = mpsc::channel(16);
        let (state, state_of) = watch::channel(StoreState::Holding);
        let (token, token_of) = watch::channel(lease.token.0);
        let task = Self {
            config,
            store,
            ledger,
            spec,
            lease,
            nonce,
            published: BTreeMap::new(),
            orders: BTreeMap::new(),
            state,
            token,
            metrics,
            verified: None,
            failures: 0,
            stopping: None,
        };
        tokio::spawn(task.run(inbox));
        Ok(StoreTaskHandle::new(commands, state_of, token_of))
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut ticks = interval(self.config.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => Err(StoreTaskError::Stopped),
                },
                _ = ticks.tick() => self.look_after().await,
            };
            if let Err(error) = ended {
                self.state.send_replace(StoreState::Ended(error.to_string()));
                return;
            }
        }
    }

    /// Runs a command; an error ends the task.
    async fn obey(&mut self, command: Command) -> Result<(), StoreTaskError> {
        let (done, reply) = match command {
            Command::Publish(request, reply) => (self.publish(request).await, reply),
            Command::Issue(key, orders, reply) => (self.issue(key, orders).await, reply),
            Command::Done(key, reply) => {
                self.orders.remove(&key);
                let _ = reply.send(Ok(()));
                // The next check repeats what fails.
                let _ = self.remove_other_orders().await;
                return Ok(());
            }
            Command::Release(reply) => {
                let released = self.store.release(&self.lease).await;
                let _ = reply.send(released.map_err(StoreTaskError::from));
                return Err(StoreTaskError::Stopped);
            }
        };
        // The caller may have ended; a deposed task ends.
        let ends = matches!(done, Err(StoreTaskError::Deposed(_))).then(|| done.clone());
        let _ = reply.send(done);
        ends.unwrap_or(Ok(()))
    }

    async fn publish(&mut self, request: PublishRequest) -> Result<(), StoreTaskError> {
        let deadline = Instant::now() + self.config.patience;
        let named = self.orders.values().flatten().map(|order| order.weights);
        let request = PublishRequest { keep: named.collect(), ..request };
        let id = request.id;
        self.published.insert(id, request);
        self.drop_old_weights(id);
        loop {
            let Some(request) = self.published.get(&id) else { return Ok(()) };
            match self.store.publish(&self.lease, request).await {
                Ok(_) => {
                    self.failures = 0;
                    return Ok(());
                }
                Err(error) => self.recover(error, deadline).await?,
            }
        }
    }

    /// Keeps the newest weights, their average, the current ones, and the weights that orders name.
    fn drop_old_weights(&mut self, newest: WeightsId) {
        let named: BTreeSet<WeightsId> =
            self.orders.values().flatten().map(|order| order.weights).collect();
        self.published.retain(|id, _| id.version >= newest.version || named.contains(id));
    }

    async fn issue(&mut self, key: BatchKey, orders: Vec<WorkOrder>) -> Result<(), StoreTaskError> {
        let deadline = Instant::now() + self.config.patience;
        self.orders.insert(key, orders);
        loop {
            self.fence_orders();
            let orders = self.orders.get(&key).cloned().unwrap_or_default();
            match self.store.issue(&self.lease, &orders).await {
                Ok(()) => return Ok(()),
                Err(error) => self.recover(error, deadline).await?,
            }
        }
    }

    fn fence_orders(&mut self) {
        let token = self.lease.token.0;
        self.orders.values_mut().flatten().for_each(|order| order.fence = token);
    }

    /// Renews the lease and restores what Redis has lost.
    async fn look_after(&mut self) -> Result<(), StoreTaskError> {
        let deadline = Instant::now() + self.config.patience;
        loop {
            let looked = match self.store.renew(&self.lease).await {
                Ok(()) => self.replace_what_is_lost().await,
                Err(error) => Err(error),
            };
            match looked {
                Ok(()) => {
                    self.failures = 0;
                    self.set_state(StoreState::Holding);
                    return Ok(());
                }
                Err(error) => self.recover(error, deadline).await?,
            }
        }
    }

    /// Verifies the weights that samplers could not load, and publishes damaged ones again.
    async fn replace_what_is_broken(&mut self) -> Result<(), BroadcastError> {
        if self.verified.is_some_and(|at| at.elapsed() < VERIFIED_FOR) {
            return Ok(());
        }
        for (id, request) in &self.published {
            if !self.store.is_reported(*id).await? {
                continue;
            }
            self.verified = Some(Instant::now());
            match self.store.verify(request).await {
                Ok(()) => tracing::warn!(weights = %id, "a sampler cannot load intact weights"),
                Err(error) if error.is_damage() => {
                    tracing::warn!(weights = %id, %error, "publishing damaged weights again");
                    self.metrics.errors.inc(["store"]);
                    self.store.publish_again(&self.lease, request).await?;
                }
                Err(error) => return Err(error),
            }
            self.store.forget_report(*id).await?;
        }
        Ok(())
    }

    async fn replace_what_is_lost(&mut self) -> Result<(), BroadcastError> {
        if !self.store.exists(&self.nonce).await? {
            tracing::warn!("Redis has lost the run; publishing and issuing again");
            return self.restore().await;
        }
        if !self.store.is_run_spec(&self.spec).await? {
            tracing::warn!("the run's specification in Redis was changed; storing it again");
            self.store.put_run_spec(&self.lease, &self.spec).await?;
        }
        for (id, request) in &self.published {
            if !self.store.is_present(*id).await? {
                tracing::warn!(weights = %id, "Redis has lost weights; publishing again");
                self.store.publish(&self.lease, request).await?;
            }
        }
        self.replace_what_is_broken().await?;
        self.issue_lost_orders().await?;
        let removed = self.remove_other_orders().await?;
        if removed > 0 {
            tracing::warn!(removed, "removed orders that no batch waits for");
        }
        Ok(())
    }

    /// Removes the orders of complete batches, and orders of other clients. A sampler cannot draw them if
    /// their weights are gone; it would hand them back and take them again before any new order.
    async fn remove_other_orders(&self) -> Result<u64, BroadcastError> {
        let names = self.orders.values().flatten().map(|order| order.order_id.as_str());
        self.store.keep_only(&self.lease, names).await
    }

    /// Issues orders again that are not in the queue although some of their samples are missing.
    async fn issue_lost_orders(&mut self) -> Result<(), BroadcastError> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        let queued = self.store.pending().await?;
        let queued: BTreeSet<&str> = queued.iter().map(|order| order.order_id.as_str()).collect();
        let lost = wanted.into_iter().filter(|order| !queued.contains(order.order_id.as_str()));
        let lost: Vec<WorkOrder> = lost.collect();
        match lost.is_empty() {
            true => Ok(()),
            false => self.store.issue(&self.lease, &lost).await,
        }
    }

    /// Returns the orders with missing samples.
    fn wanted(&self) -> Vec<WorkOrder> {
        let open = |(key, orders): (&BatchKey, &Vec<WorkOrder>)| {
            let missing: BTreeSet<u32> = self.ledger.missing(*key).into_iter().collect();
            let wanted = |order: &&WorkOrder| order.samples.iter().any(|at| missing.contains(at));
            orders.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        self.orders.iter().flat_map(open).collect()
    }

    /// Restores everything: the run's specification, the weights (the current ones last), the
    /// orders.
    async fn restore(&mut self) -> Result<(), BroadcastError> {
        self.store.put_run_spec(&self.lease, &self.spec).await?;
        let aside_first = |request: &&PublishRequest| request.exposure == Exposure::Current;
        let mut requests: Vec<&PublishRequest> = self.published.values().collect();
        requests.sort_by_key(aside_first);
        for request in requests {
            self.store.publish(&self.lease, request).await?;
        }
        self.nonce = self.store.clear(&self.lease).await?;
        self.fence_orders();
        let wanted = self.wanted();
        self.store.issue(&self.lease, &wanted).await
    }

    /// Makes the step possible again after an error, or returns the error.
    async fn recover(
        &mut self,
        error: BroadcastError,
        deadline: Instant,
    ) -> Result<(), StoreTaskError> {
        self.metrics.errors.inc(["store"]);
        match &error {
            BroadcastError::LostLease { found: None, .. } => self.take_lease_again().await,
            BroadcastError::LostLease { .. } => Err(StoreTaskError::Deposed(error)),
            _ if error.may_heal() && Instant::now() < self.end_of_patience(deadline) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures.is_power_of_two() {
                    let (failures, patience) = (self.failures, self.config.patience);
                    tracing::warn!(%error, failures, ?patience, "waiting for redis");
                }
                self.set_state(StoreState::Unreachable(error.to_string()));
                if matches!(error, BroadcastError::WrongType { .. }) {
                    self.remove_foreign_keys().await;
                }
                sleep(PAUSE).await;
                Ok(())
            }
            _ => Err(StoreTaskError::Store(error)),
        }
    }

    /// Returns when to give up: at `deadline`, or soon after a shutdown request.
    fn end_of_patience(&mut self, deadline: Instant) -> Instant {
        if !self.config.shutdown.requested() {
            return deadline;
        }
        deadline.min(*self.stopping.get_or_insert_with(Instant::now) + LAST_PATIENCE)
    }

    /// Removes keys of another type; the next check restores what they replaced.
    async fn remove_foreign_keys(&self) {
        match self.store.remove_foreign_keys().await {
            Ok(keys) if keys.is_empty() => {}
            Ok(keys) => tracing::warn!(?keys, "removed keys with a value of another type"),
            Err(error) => tracing::debug!(%error, "could not remove keys of another type"),
        }
    }

    /// Takes the lease with a greater token after it has lapsed or was deleted and has no new
    /// holder.
    async fn take_lease_again(&mut self) -> Result<(), StoreTaskError> {
        let request = LeaseRequest {
            owner: self.lease.owner.clone(),
            ttl: self.lease.ttl,
            last_known: self.lease.token,
        };
        match self.store.acquire(&request).await {
            Ok(lease) => {
                tracing::warn!(token = %lease.token, "the lease had lapsed and was taken again");
                self.token.send_replace(lease.token.0);
                self.lease = lease;
            }
            Err(error) if error.may_heal() => {
                sleep(PAUSE).await;
                return Ok(());
            }
            Err(error) => return Err(StoreTaskError::Deposed(error)),
        }
        match self.restore().await {
            Err(error) if !error.may_heal() && !error.is_lost_lease() => {
                Err(StoreTaskError::Store(error))
            }
            // The next check restores what failed with an error that may heal.
            _ => Ok(()),
        }
    }

    fn set_state(&self, state: StoreState) {
        self.state.send_if_modified(|now| {
            let changed = std::mem::discriminant(now) != std::mem::discriminant(&state);
            if changed {
                *now = state;
            }
            changed
        });
    }
}
