//! Orders batches and waits for them. Orders are issued by the store task; arrived samples are in
//! the ledger.

use crate::service::ledger::{Awaited, BatchKey, Ledger};
use crate::service::store_handle::{StoreState, StoreTaskError, StoreTaskHandle};
use crate::service::traces::OrderTraces;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WorkOrder;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_service::telemetry::context::traceparent;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Settings of the [`Dispatcher`].
#[derive(Clone, Debug)]
pub struct DispatcherConfig {
    /// Id of the run.
    pub run_id: String,
    /// Samples in an order, which a sampler draws as one batch.
    pub sample_batch: usize,
    /// The longest time without an arrival while samples are missing.
    pub stall: Duration,
}

/// Errors from ordering or collecting a batch.
#[derive(Debug, Error)]
pub enum DispatcherError {
    /// The store task refused a command.
    #[error(transparent)]
    StoreTask(#[from] StoreTaskError),
    /// The store task has ended, with the reason.
    #[error("{0}")]
    Ended(String),
    /// No trajectory arrived for the time of [`DispatcherConfig::stall`].
    #[error(
        "learner: no trajectory has arrived for {waited:?} while {missing} of {samples} samples are \
         missing; hint: start samplers and rewarders with this run id, or look at their logs"
    )]
    Stalled {
        /// Samples that have not arrived.
        missing: usize,
        /// Samples of the batch.
        samples: u32,
        /// Time since the last arrival.
        waited: Duration,
    },
    /// The ledger has lost a complete batch.
    #[error("learner: the ledger has lost the complete batch {0:?}")]
    Gone(BatchKey),
}

/// Orders batches from samplers and collects them.
pub struct Dispatcher {
    config: DispatcherConfig,
    store_task: StoreTaskHandle,
    ledger: Arc<Ledger>,
    traces: OrderTraces,
}

impl Dispatcher {
    /// Creates a dispatcher without open batches.
    pub fn new(config: DispatcherConfig, store_task: StoreTaskHandle, ledger: Arc<Ledger>) -> Self {
        Self { config, store_task, ledger, traces: OrderTraces::default() }
    }

    /// Returns the handle of the store task.
    pub fn store_task(&self) -> &StoreTaskHandle {
        &self.store_task
    }

    /// Returns the traces of the batches.
    pub fn traces(&self) -> &OrderTraces {
        &self.traces
    }

    /// Issues the orders of a batch, unless the batch is already awaited.
    ///
    /// # Errors
    /// [`DispatcherError::StoreTask`].
    pub fn order(&self, awaited: Awaited) -> Result<(), DispatcherError> {
        let key = awaited.key;
        if self.ledger.expects(key) {
            return Ok(());
        }
        self.ledger.expect(awaited);
        self.issue(&awaited, 0, |_| true)
    }

    /// Requests `samples` of a collected batch again. Issues the whole orders that contain them, because
    /// another size of an order would change the last bits of the results. `scored` holds all trajectories
    /// of the batch, ordered by sample; those of `samples` are dropped. `redraw` is the number of this
    /// redraw of the batch, from 1.
    ///
    /// # Errors
    /// [`DispatcherError::StoreTask`].
    pub fn order_again(
        &self,
        awaited: Awaited,
        scored: Vec<ScoredTrajectory>,
        samples: &[u32],
        redraw: u32,
    ) -> Result<(), DispatcherError> {
        self.ledger.expect_again(awaited, scored, samples);
        // Repeated orders have new indices, so that their ids differ from the earlier ones.
        let first = redraw as usize * awaited.samples as usize;
        self.issue(&awaited, first, |order| order.iter().any(|sample| samples.contains(sample)))
    }

    /// Issues the orders of a batch for whose samples `wanted` returns true. The index of an order is
    /// `first` plus its position in the batch.
    fn issue(
        &self,
        awaited: &Awaited,
        first: usize,
        wanted: impl Fn(&[u32]) -> bool,
    ) -> Result<(), DispatcherError> {
        let key = awaited.key;
        let samples: Vec<u32> = (0..awaited.samples).collect();
        let orders = samples.chunks(self.config.sample_batch.max(1)).enumerate();
        let orders = orders.filter(|(_, samples)| wanted(samples)).map(|(index, samples)| {
            let order = self.work_order(awaited, first + index, samples);
            let span = OrderTraces::order(&order);
            (WorkOrder { traceparent: traceparent(&span), ..order }, span)
        });
        let (orders, spans): (Vec<_>, Vec<_>) = orders.unzip();
        self.traces.begin(key, spans);
        Ok(self.store_task.issue(key, orders)?)
    }

    fn work_order(&self, awaited: &Awaited, index: usize, samples: &[u32]) -> WorkOrder {
        let weights = awaited.weights;
        let epoch = awaited.key.epoch();
        let (purpose, name) = match awaited.key {
            BatchKey::Epoch(_) => (Purpose::Rollout, "rollout"),
            BatchKey::Evaluation(_) => (Purpose::Evaluation, "evaluation"),
        };
        WorkOrder {
            run_id: self.config.run_id.clone(),
            order_id: format!("{name}-{epoch:06}-{weights}-{index:04}"),
            fence: self.store_task.token(),
            purpose,
            run_seed: awaited.run_seed,
            epoch,
            samples: samples.to_vec(),
            weights,
            weights_digest: awaited.weights_digest,
            traceparent: None,
        }
    }

    /// Waits until the batch is complete and takes it, ordered by sample. The traces of an epoch's
    /// orders stay open until its update ends. Calls `look` a few times a second with the number of
    /// arrived samples, and returns `None` when `look` returns `false`.
    ///
    /// # Errors
    /// [`DispatcherError`].
    pub fn collect(
        &self,
        key: BatchKey,
        samples: u32,
        look: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Vec<ScoredTrajectory>>, DispatcherError> {
        const LOOK: Duration = Duration::from_millis(200);
        let mut last = (usize::MAX, Instant::now());
        while !self.ledger.wait(key, LOOK) {
            if let StoreState::Ended(reason) = self.store_task.state() {
                return Err(DispatcherError::Ended(reason));
            }
            let missing = self.ledger.missing(key).len();
            if !look(samples as usize - missing) {
                return Ok(None);
            }
            if missing != last.0 {
                last = (missing, Instant::now());
            }
            let waited = last.1.elapsed();
            if waited > self.config.stall {
                return Err(DispatcherError::Stalled { missing, samples, waited });
            }
        }
        let scored = self.ledger.take(key).ok_or(DispatcherError::Gone(key))?;
        self.store_task.done(key)?;
        if matches!(key, BatchKey::Evaluation(_)) {
            self.traces.end(key);
        }
        Ok(Some(scored))
    }
}
