//! The store in this process: the same semantics as Redis, for `ddpo train` and for tests.

mod lease;
mod orders;
mod weights;

use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::remote::check_run_id;
use crate::retention::Retention;
use crate::run_spec::{RunSpecs, check_run};
use async_trait::async_trait;
use ddpo_rollout::order::RunSpec;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How a store in this process behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The run.
    pub run_id: String,
    /// How long a worker may give no sign of life before its order goes to another.
    pub claim_after: Duration,
    /// How long weights are kept.
    pub retention: Retention,
}

impl LocalConfig {
    /// The defaults for this run.
    #[must_use]
    pub fn new(run_id: impl Into<String>) -> Self {
        let (claim_after, retention) = (Duration::from_secs(3), Retention::default());
        Self { run_id: run_id.into(), claim_after, retention }
    }
}

/// A store in this process.
#[derive(Debug)]
pub struct LocalBroadcast {
    config: LocalConfig,
    state: Mutex<State>,
    notices: watch::Sender<u64>,
    order_added: watch::Sender<u64>,
}

/// What Redis would hold. Never locked across an await.
#[derive(Debug, Default)]
struct State {
    lease: lease::LeaseState,
    weights: weights::WeightsState,
    queue: orders::Queue,
    spec: Option<RunSpec>,
}

impl LocalBroadcast {
    /// An empty store.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] for a run id that could not be a key's part.
    pub fn new(config: LocalConfig) -> Result<Self, BroadcastError> {
        check_run_id(&config.run_id)?;
        let (notices, _) = watch::channel(0);
        let (order_added, _) = watch::channel(0);
        Ok(Self { config, state: Mutex::default(), notices, order_added })
    }

    /// Forgets everything, as a Redis without persistence does when it restarts: for tests of
    /// what happens then.
    pub fn wipe(&self) {
        let mut state = self.locked();
        // Tokens grow even within the millisecond that the clock counts in.
        let lease = std::mem::take(&mut state.lease).forgotten();
        *state = State { lease, ..State::default() };
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RunSpecs for LocalBroadcast {
    async fn put_run_spec(&self, lease: &Lease, spec: &RunSpec) -> Result<(), BroadcastError> {
        check_run(&self.config.run_id, spec)?;
        let mut state = self.locked();
        state.lease.check(lease)?;
        state.spec = Some(spec.clone());
        Ok(())
    }

    async fn run_spec(&self) -> Result<Option<RunSpec>, BroadcastError> {
        Ok(self.locked().spec.clone())
    }
}

/// Milliseconds of Unix time; 0 for a clock that stands before 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
