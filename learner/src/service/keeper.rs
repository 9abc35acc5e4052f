//! The learner's side of the shared store: one task that holds the lease, publishes, issues orders,
//! and puts everything back when the store has lost it. Others speak to it by messages, so that no
//! two of its steps mix.

use crate::service::ledger::{BatchKey, Ledger};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{Lease, LeaseRequest};
use ddpo_broadcast::orders::OrdersNonce;
use ddpo_broadcast::remote::RedisBroadcast;
use ddpo_broadcast::source::{Exposure, PublishRequest};
use ddpo_rollout::order::{RunSpec, WeightsId, WorkOrder};
use ddpo_service::metrics::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(250);

/// The keeper's settings.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// How often the lease is renewed and the store looked after.
    pub tick: Duration,
    /// How long an unreachable store is put up with.
    pub patience: Duration,
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self { tick: Duration::from_secs(1), patience: Duration::from_secs(120) }
    }
}

/// Why the keeper could not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum KeeperError {
    /// Another learner has taken over.
    #[error("learner: another learner has taken over: {0}")]
    Deposed(BroadcastError),
    /// The store refused, or could not be reached for too long.
    #[error("learner: {0}")]
    Store(#[from] BroadcastError),
    /// The keeper did not answer in time.
    #[error("learner: the store's keeper did not answer within {0:?}")]
    Slow(Duration),
    /// The keeper has ended before, for this reason.
    #[error("{0}")]
    Ended(String),
    /// The keeper has ended.
    #[error("learner: the store's keeper has stopped")]
    Stopped,
}

type Reply = oneshot::Sender<Result<(), KeeperError>>;

enum Command {
    Publish(PublishRequest, Reply),
    Issue(BatchKey, Vec<WorkOrder>, Reply),
    Done(BatchKey, Reply),
    Release(Reply),
}

/// What the keeper tells of itself.
#[derive(Clone, Debug, Default)]
pub enum Standing {
    /// It holds the lease.
    #[default]
    Holding,
    /// The store cannot be reached at the moment.
    Unreachable(String),
    /// It has stopped, and why.
    Ended(String),
}

/// Speaks to the keeper from a thread that may block.
#[derive(Clone, Debug)]
pub struct KeeperHandle {
    commands: mpsc::Sender<Command>,
    standing: watch::Receiver<Standing>,
    token: watch::Receiver<u64>,
}

impl KeeperHandle {
    /// Stores weights; returns when followers can have them.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn publish(&self, request: PublishRequest) -> Result<(), KeeperError> {
        self.ask(|reply| Command::Publish(request, reply))
    }

    /// Issues the orders of a batch; they are kept, and issued again after a loss, until
    /// [`KeeperHandle::done`].
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn issue(&self, key: BatchKey, orders: Vec<WorkOrder>) -> Result<(), KeeperError> {
        self.ask(|reply| Command::Issue(key, orders, reply))
    }

    /// Forgets the orders of a batch that is complete.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn done(&self, key: BatchKey) -> Result<(), KeeperError> {
        self.ask(|reply| Command::Done(key, reply))
    }

    /// Gives the lease back and ends the keeper.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn release(&self) -> Result<(), KeeperError> {
        self.ask(Command::Release)
    }

    /// [`KeeperHandle::release`] within `deadline`, where the store may be out of reach.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn release_within(&self, deadline: Duration) -> Result<(), KeeperError> {
        let released = async {
            let (reply, answer) = oneshot::channel();
            self.commands.send(Command::Release(reply)).await.map_err(|_| self.ended())?;
            answer.await.unwrap_or_else(|_| Err(self.ended()))
        };
        timeout(deadline, released).await.unwrap_or(Err(KeeperError::Slow(deadline)))
    }

    /// How the keeper stands.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// The fencing token now.
    pub fn token(&self) -> u64 {
        *self.token.borrow()
    }

    fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), KeeperError> {
        let (reply, answer) = oneshot::channel();
        self.commands.blocking_send(command(reply)).map_err(|_| self.ended())?;
        // The keeper answers every command within its patience, or ends and drops the reply.
        answer.blocking_recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Why the keeper is no more: it says so before it goes.
    fn ended(&self) -> KeeperError {
        match self.standing() {
            Standing::Ended(reason) => KeeperError::Ended(reason),
            Standing::Holding | Standing::Unreachable(_) => KeeperError::Stopped,
        }
    }
}

/// The task's state.
pub struct Keeper {
    config: KeeperConfig,
    store: Arc<RedisBroadcast>,
    ledger: Arc<Ledger>,
    spec: RunSpec,
    lease: Lease,
    nonce: OrdersNonce,
    published: BTreeMap<WeightsId, PublishRequest>,
    orders: BTreeMap<BatchKey, Vec<WorkOrder>>,
    standing: watch::Sender<Standing>,
    token: watch::Sender<u64>,
    metrics: Metrics,
}

impl Keeper {
    /// Takes up the run in the store under `lease`, removes the orders of the learner before, and
    /// starts the task. Errors of the store are counted in `metrics`, those that pass among them.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn start(
        config: KeeperConfig,
        store: Arc<RedisBroadcast>,
        ledger: Arc<Ledger>,
        spec: RunSpec,
        lease: Lease,
        metrics: Metrics,
    ) -> Result<KeeperHandle, KeeperError> {
        // A count that is not there cannot be seen to rise.
        metrics.errors.add(["store"], 0);
        store.put_run_spec(&lease, &spec).await?;
        let nonce = store.clear(&lease).await?;
        let (commands, inbox) = mpsc::channel(16);
        let (standing, standing_of) = watch::channel(Standing::Holding);
        let (token, token_of) = watch::channel(lease.token.0);
        let keeper = Self {
            config,
            store,
            ledger,
            spec,
            lease,
            nonce,
            published: BTreeMap::new(),
            orders: BTreeMap::new(),
            standing,
            token,
            metrics,
        };
        tokio::spawn(keeper.run(inbox));
        Ok(KeeperHandle { commands, standing: standing_of, token: token_of })
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut ticks = interval(self.config.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => Err(KeeperError::Stopped),
                },
                _ = ticks.tick() => self.look_after().await,
            };
            if let Err(error) = ended {
                self.standing.send_replace(Standing::Ended(error.to_string()));
                return;
            }
        }
    }

    /// Carries a command out; an error ends the keeper.
    async fn obey(&mut self, command: Command) -> Result<(), KeeperError> {
        let (done, reply) = match command {
            Command::Publish(request, reply) => (self.publish(request).await, reply),
            Command::Issue(key, orders, reply) => (self.issue(key, orders).await, reply),
            Command::Done(key, reply) => {
                self.orders.remove(&key);
                (Ok(()), reply)
            }
            Command::Release(reply) => {
                let released = self.store.release(&self.lease).await;
                let _ = reply.send(released.map_err(KeeperError::from));
                return Err(KeeperError::Stopped);
            }
        };
        // The caller may have ended; a deposed keeper ends.
        let ends = matches!(done, Err(KeeperError::Deposed(_))).then(|| done.clone());
        let _ = reply.send(done);
        ends.unwrap_or(Ok(()))
    }

    async fn publish(&mut self, request: PublishRequest) -> Result<(), KeeperError> {
        let deadline = Instant::now() + self.config.patience;
        let named = self.orders.values().flatten().map(|order| order.weights);
        let request = PublishRequest { keep: named.collect(), ..request };
        let id = request.id;
        self.published.insert(id, request);
        self.drop_old_weights(id);
        loop {
            let Some(request) = self.published.get(&id) else { return Ok(()) };
            match self.store.publish(&self.lease, request).await {
                Ok(_) => return Ok(()),
                Err(error) => self.recover(error, deadline).await?,
            }
        }
    }

    /// Keeps the weights just published, their average, the current ones, and what orders name.
    fn drop_old_weights(&mut self, newest: WeightsId) {
        let named: BTreeSet<WeightsId> =
            self.orders.values().flatten().map(|order| order.weights).collect();
        self.published.retain(|id, _| id.version >= newest.version || named.contains(id));
    }

    async fn issue(&mut self, key: BatchKey, orders: Vec<WorkOrder>) -> Result<(), KeeperError> {
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

    /// Renews the lease and puts back what the store has lost.
    async fn look_after(&mut self) -> Result<(), KeeperError> {
        let deadline = Instant::now() + self.config.patience;
        loop {
            let looked = match self.store.renew(&self.lease).await {
                Ok(()) => self.replace_what_is_lost().await,
                Err(error) => Err(error),
            };
            match looked {
                Ok(()) => {
                    self.stand(Standing::Holding);
                    return Ok(());
                }
                Err(error) => self.recover(error, deadline).await?,
            }
        }
    }

    async fn replace_what_is_lost(&mut self) -> Result<(), BroadcastError> {
        if !self.store.exists(&self.nonce).await? {
            tracing::warn!("the store has lost the run; publishing and issuing again");
            return self.restore().await;
        }
        for (id, request) in &self.published {
            if !self.store.is_present(*id).await? {
                tracing::warn!(weights = %id, "the store has lost weights; publishing again");
                self.store.publish(&self.lease, request).await?;
            }
        }
        self.issue_lost_orders().await
    }

    /// Issues those orders again that are not in the queue although samples of theirs are missing.
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

    /// The orders of which a sample has not come.
    fn wanted(&self) -> Vec<WorkOrder> {
        let open = |(key, orders): (&BatchKey, &Vec<WorkOrder>)| {
            let missing: BTreeSet<u32> = self.ledger.missing(*key).into_iter().collect();
            let wanted = |order: &&WorkOrder| order.samples.iter().any(|at| missing.contains(at));
            orders.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        self.orders.iter().flat_map(open).collect()
    }

    /// Puts everything back: the run, the weights (the current ones last), the orders.
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

    /// Does what can be done about an error so that the step can be tried again; gives the error if
    /// nothing can.
    async fn recover(
        &mut self,
        error: BroadcastError,
        deadline: Instant,
    ) -> Result<(), KeeperError> {
        self.metrics.errors.inc(["store"]);
        match &error {
            BroadcastError::LostLease { found: None, .. } => self.take_lease_again().await,
            BroadcastError::LostLease { .. } => Err(KeeperError::Deposed(error)),
            _ if error.is_transient() && Instant::now() < deadline => {
                self.stand(Standing::Unreachable(error.to_string()));
                sleep(PAUSE).await;
                Ok(())
            }
            _ => Err(KeeperError::Store(error)),
        }
    }

    /// The lease lapsed or was wiped, and nobody has it: takes it with a greater token.
    async fn take_lease_again(&mut self) -> Result<(), KeeperError> {
        let request = LeaseRequest {
            owner: self.lease.owner.clone(),
            ttl: self.lease.ttl,
            last_known: self.lease.token,
        };
        match self.store.acquire(&request).await {
            Ok(lease) => {
                tracing::warn!(token = %lease.token, "the lease had lapsed; took it again");
                self.token.send_replace(lease.token.0);
                self.lease = lease;
            }
            Err(error) if error.is_transient() => {
                sleep(PAUSE).await;
                return Ok(());
            }
            Err(error) => return Err(KeeperError::Deposed(error)),
        }
        match self.restore().await {
            Err(error) if !error.is_transient() && !error.is_lost_lease() => {
                Err(KeeperError::Store(error))
            }
            // What failed for a moment is put back at the next look.
            _ => Ok(()),
        }
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let changed = std::mem::discriminant(now) != std::mem::discriminant(&standing);
            if changed {
                *now = standing;
            }
            changed
        });
    }
}
