//! The learner's desk: batches are ordered here, and waited for. Orders go out through the keeper;
//! what comes back is in the ledger.

use crate::service::keeper::KeeperError;
use crate::service::keeper::{KeeperHandle, Standing};
use crate::service::ledger::{Awaited, BatchKey, Ledger};
use crate::service::traces::OrderTraces;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WorkOrder;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_service::telemetry::context::traceparent;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How orders are cut, and how long the learner waits.
#[derive(Clone, Debug)]
pub struct DeskConfig {
    /// The run.
    pub run_id: String,
    /// Samples in an order: the batch that a sampler draws together.
    pub sample_batch: usize,
    /// How long no trajectory may arrive while some are waited for.
    pub stall: Duration,
}

/// Why trajectories do not come.
#[derive(Debug, Error)]
pub enum DeskError {
    /// The keeper refused.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The keeper of the store has ended.
    #[error("{0}")]
    Ended(String),
    /// Nothing has come for too long.
    #[error(
        "learner: no trajectory has arrived for {waited:?} while {missing} of {samples} samples are \
         missing; hint: are samplers and rewarders running with this run id?"
    )]
    Stalled {
        /// Samples that have not come.
        missing: usize,
        /// All samples.
        samples: u32,
        /// For how long.
        waited: Duration,
    },
    /// The batch is not where it was a moment ago.
    #[error("learner: the batch {0:?} was complete and is gone")]
    Gone(BatchKey),
}

/// The desk.
pub struct Desk {
    config: DeskConfig,
    keeper: KeeperHandle,
    ledger: Arc<Ledger>,
    traces: OrderTraces,
}

impl Desk {
    /// A desk.
    pub fn new(config: DeskConfig, keeper: KeeperHandle, ledger: Arc<Ledger>) -> Self {
        Self { config, keeper, ledger, traces: OrderTraces::default() }
    }

    /// The keeper.
    pub fn keeper(&self) -> &KeeperHandle {
        &self.keeper
    }

    /// The traces of the batches.
    pub fn traces(&self) -> &OrderTraces {
        &self.traces
    }

    /// Issues the orders of a batch, unless it is waited for already.
    ///
    /// # Errors
    /// [`DeskError::Keeper`].
    pub fn order(&self, awaited: Awaited) -> Result<(), DeskError> {
        let key = awaited.key;
        if self.ledger.expects(key) {
            return Ok(());
        }
        self.ledger.expect(awaited);
        let samples: Vec<u32> = (0..awaited.samples).collect();
        let orders = samples.chunks(self.config.sample_batch.max(1)).enumerate();
        let orders = orders.map(|(index, samples)| {
            let order = self.work_order(&awaited, index, samples);
            let span = OrderTraces::order(&order);
            (WorkOrder { traceparent: traceparent(&span), ..order }, span)
        });
        let (orders, spans): (Vec<_>, Vec<_>) = orders.unzip();
        self.traces.begin(key, spans);
        Ok(self.keeper.issue(key, orders)?)
    }

    fn work_order(&self, awaited: &Awaited, index: usize, samples: &[u32]) -> WorkOrder {
        let weights = awaited.weights;
        let (purpose, name, epoch) = match awaited.key {
            BatchKey::Epoch(epoch) => (Purpose::Rollout, "rollout", epoch),
            BatchKey::Evaluation(_) => (Purpose::Evaluation, "evaluation", 0),
        };
        WorkOrder {
            run_id: self.config.run_id.clone(),
            order_id: format!("{name}-{epoch:06}-{weights}-{index:04}"),
            fence: self.keeper.token(),
            purpose,
            run_seed: awaited.run_seed,
            epoch,
            samples: samples.to_vec(),
            weights,
            weights_digest: awaited.weights_digest,
            traceparent: None,
        }
    }

    /// Waits until the batch is complete and takes it, in the order of its samples; the traces of an
    /// epoch's orders go on until its update is over. `look` is called a
    /// few times a second with the samples that have come; `None` once it gives `false`.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn collect(
        &self,
        key: BatchKey,
        samples: u32,
        look: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Vec<ScoredTrajectory>>, DeskError> {
        const LOOK: Duration = Duration::from_millis(200);
        let mut last = (usize::MAX, Instant::now());
        while !self.ledger.wait(key, LOOK) {
            if let Standing::Ended(reason) = self.keeper.standing() {
                return Err(DeskError::Ended(reason));
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
                return Err(DeskError::Stalled { missing, samples, waited });
            }
        }
        let scored = self.ledger.take(key).ok_or(DeskError::Gone(key))?;
        self.keeper.done(key)?;
        if matches!(key, BatchKey::Evaluation(_)) {
            self.traces.end(key);
        }
        Ok(Some(scored))
    }
}
