//! Takes orders, has the device draw them, and acknowledges each when the learner has answered for
//! all of its trajectories. The next batch is drawn while the previous one is sent.

use crate::backend::{BackendError, ReceivedWeights};
use crate::service::batch::{OutgoingBatch, Sent, trajectory_id};
use crate::service::device::{BatchSink, Device, DeviceError};
use crate::service::failures::{Failures, Logged, StoreFailures};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::orders::Delivery;
use ddpo_broadcast::remote::RedisBroadcast;
use ddpo_delivery::uplink::Uplink;
use ddpo_inspector::board::Board;
use ddpo_proto::stream::Verdict;
use ddpo_rollout::order::{RunSpec, WeightsId, WorkOrder};
use ddpo_rollout::trajectory::Digest;
use ddpo_service::health::Health;
use ddpo_service::identity::Worker;
use ddpo_service::metrics::Metrics;
use ddpo_service::telemetry::context::continue_from;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Settings of the worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Id of this worker.
    pub worker: Worker,
    /// Largest number of batches being drawn or waiting for receipts; bounds the memory.
    pub batches_in_flight: usize,
    /// Interval of the keep-alive of an order.
    pub keep_alive: Duration,
    /// How long one read of the order queue blocks.
    pub block: Duration,
}

/// Errors that end the worker.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Redis refused.
    #[error("sampler: {0}")]
    Store(#[from] BroadcastError),
    /// The device thread has ended.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// How the worker's loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Shutdown was requested.
    Drained,
    /// The learner has published another specification; the device must be prepared again.
    RunChanged,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Trajectories drawn completely.
    pub drawn: AtomicU64,
    /// Orders taken.
    pub orders_taken: AtomicU64,
    /// Orders claimed from silent workers.
    pub orders_claimed: AtomicU64,
    /// Orders acknowledged.
    pub orders_acknowledged: AtomicU64,
    /// Orders handed back.
    pub orders_handed_back: AtomicU64,
    /// Batches that failed.
    pub batches_failed: AtomicU64,
}

/// The handles that the worker works with.
pub struct Tools {
    /// The connection to Redis.
    pub store: Arc<RedisBroadcast>,
    /// Sends trajectories to rewarders.
    pub uplink: Uplink,
    /// The device.
    pub device: Device,
    /// The board of the live page.
    pub board: Board,
    /// Conditions `weights` and `device`.
    pub health: Health,
    /// Counters.
    pub counters: Arc<WorkerCounters>,
    /// The service's metrics.
    pub metrics: Metrics,
    /// The loaded weights. Policy and average have the same digest before the first update, so
    /// version and digest alone do not distinguish them.
    pub loaded: watch::Sender<Option<(WeightsId, Digest)>>,
}

/// Works until `drain` is cancelled, the run changes, or the device fails. Orders in progress are
/// then finished, or handed back if the device failed; the caller bounds the time of a drain.
///
/// # Errors
/// [`WorkerError`].
pub async fn work(
    config: &WorkerConfig,
    tools: &Tools,
    spec: &RunSpec,
    drain: &CancellationToken,
) -> Result<Ended, WorkerError> {
    /// The longest wait for receipts of batches that were drawn before a failure. Other workers
    /// claim the remaining orders and draw them again, bit for bit.
    const SETTLING: Duration = Duration::from_secs(10);
    let settling = TaskTracker::new();
    let ended = take_orders(config, tools, spec, drain, &settling).await;
    settling.close();
    match &ended {
        Ok(_) => settling.wait().await,
        Err(_) => _ = timeout(SETTLING, settling.wait()).await,
    }
    ended
}

async fn take_orders(
    config: &WorkerConfig,
    tools: &Tools,
    spec: &RunSpec,
    drain: &CancellationToken,
    settling: &TaskTracker,
) -> Result<Ended, WorkerError> {
    let room = Arc::new(Semaphore::new(config.batches_in_flight));
    let mut trouble = Trouble::default();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit,
            () = drain.cancelled() => return Ok(Ended::Drained),
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { return Ok(Ended::Drained) };
        let delivery = tokio::select! {
            delivery = next(config, tools, &mut trouble.store) => delivery?,
            () = drain.cancelled() => return Ok(Ended::Drained),
        };
        let Some(delivery) = delivery else {
            if changed(tools, spec).await {
                return Ok(Ended::RunChanged);
            }
            continue;
        };
        let span = span_of(&delivery);
        let (delivery, logged) = ((delivery, permit), trouble.weights.next_is());
        let drawn = draw(config, tools, delivery, settling, logged).instrument(span).await?;
        let Some(pause) = trouble.pause_after(drawn) else { continue };
        tokio::select! {
            () = sleep(pause) => {}
            () = drain.cancelled() => return Ok(Ended::Drained),
        }
    }
}

/// Failures that repeat.
#[derive(Debug, Default)]
struct Trouble {
    /// Orders that could not be taken.
    store: StoreFailures,
    /// Weights that could not be loaded.
    weights: Failures,
    /// Draws that failed.
    draws: Failures,
}

impl Trouble {
    /// Returns the pause before the next order.
    fn pause_after(&mut self, drawn: Drawn) -> Option<Duration> {
        if drawn != Drawn::NotStarted {
            self.weights.succeeded();
        }
        match drawn {
            Drawn::Whole => {
                self.draws.succeeded();
                None
            }
            Drawn::NotStarted => Some(self.weights.failed_to_load()),
            Drawn::Failed => Some(self.draws.failed()),
        }
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// Its batch is drawn.
    Whole,
    /// Its weights were not available; it is returned to the queue.
    NotStarted,
    /// The device could not draw it; it is handed back.
    Failed,
}

/// A span of the trace that the learner began when it issued the order.
fn span_of(delivery: &Delivery) -> tracing::Span {
    let (order, attempt) = (&delivery.order, delivery.attempt);
    let (id, samples) = (&order.order_id, order.samples.len());
    let span = tracing::info_span!("draw", order.id = id, attempt, batch.size = samples);
    if let Some(traceparent) = &order.traceparent {
        continue_from(&span, traceparent);
    }
    span
}

/// Returns the next order, if one arrives soon.
async fn next(
    config: &WorkerConfig,
    tools: &Tools,
    failures: &mut StoreFailures,
) -> Result<Option<Delivery>, WorkerError> {
    const PAUSE: Duration = Duration::from_millis(250);
    match tools.store.next(&config.worker.id, Instant::now() + config.block).await {
        Ok(Some(delivery)) => {
            failures.succeeded();
            tools.counters.orders_taken.fetch_add(1, Ordering::Relaxed);
            if delivery.attempt > 1 {
                tools.counters.orders_claimed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some(delivery))
        }
        Ok(None) => {
            failures.succeeded();
            Ok(None)
        }
        Err(error @ BroadcastError::MalformedOrder { .. }) => {
            tracing::error!(%error, "could not read an order");
            Ok(None)
        }
        Err(error) => {
            let Some(logged) = failures.failed(&error) else { return Err(error.into()) };
            if logged == Logged::Yes {
                tracing::warn!(%error, "could not take an order; retrying");
            }
            tools.metrics.errors.inc(["store"]);
            sleep(PAUSE).await;
            Ok(None)
        }
    }
}

/// Returns whether the learner has published another specification; `false` if Redis is
/// unreachable.
async fn changed(tools: &Tools, spec: &RunSpec) -> bool {
    let found = tools.store.run_spec().await.ok().flatten();
    found.is_some_and(|found| found != *spec)
}

/// Draws one order; a separate task waits for its receipts.
async fn draw(
    config: &WorkerConfig,
    tools: &Tools,
    (delivery, permit): (Delivery, OwnedSemaphorePermit),
    settling: &TaskTracker,
    logged: Logged,
) -> Result<Drawn, WorkerError> {
    let order = Arc::new(delivery.order.clone());
    let alive = keep_alive(config, tools, &delivery);
    let batch = Arc::new(OutgoingBatch::new(
        tools.uplink.clone(),
        tools.board.clone(),
        config.worker.clone(),
        Arc::clone(&order),
        delivery.attempt,
    ));
    let drawn = match load(tools, &order).await {
        Ok(()) => {
            let sink: Arc<dyn BatchSink> = Arc::clone(&batch) as _;
            draw_batch(tools, &order, sink).await.map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    let (receipts, refused) = batch.take_receipts();
    let drawn = drawn.and_then(|()| match refused {
        Some(error) => Err(Failure::Draw(error.to_string())),
        None => Ok(()),
    });
    match drawn {
        Ok(()) => {
            tools.counters.drawn.fetch_add(order.samples.len() as u64, Ordering::Relaxed);
            tools.health.met("device", "draws");
            let settle = settle(Settling {
                store: Arc::clone(&tools.store),
                board: tools.board.clone(),
                counters: Arc::clone(&tools.counters),
                delivery,
                receipts,
            });
            settling.spawn(async move {
                settle.await;
                alive.cancel();
                drop(permit);
            });
            Ok(Drawn::Whole)
        }
        Err(failure) => {
            alive.cancel();
            give_up(tools, &delivery, &batch, failure, logged).await
        }
    }
}

/// Has the device draw a batch, and notes its size, time and rate.
async fn draw_batch(
    tools: &Tools,
    order: &Arc<WorkOrder>,
    sink: Arc<dyn BatchSink>,
) -> Result<(), DeviceError> {
    let metrics = &tools.metrics;
    metrics.batch_samples.observe(["draw"], order.samples.len() as f64);
    let (start, timer) = (Instant::now(), metrics.stage_seconds.time(["draw"]));
    let operations = tools.device.draw(Arc::clone(order), sink).await?;
    drop(timer);
    metrics.flops_per_second.set(["draw"], operations as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

enum Failure {
    /// The weights cannot be had at the moment.
    Store(String),
    /// The device did not draw the batch; another attempt may succeed.
    Draw(String),
    /// The worker has to end.
    Final(WorkerError),
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        if error.is_final() { Self::Final(error.into()) } else { Self::Draw(error.to_string()) }
    }
}

/// Hands an order back at once, so that another worker may draw it. Reports weights that cannot be loaded
/// to the learner, which publishes them again if they are damaged; `logged` applies to these.
async fn give_up(
    tools: &Tools,
    delivery: &Delivery,
    batch: &OutgoingBatch,
    failure: Failure,
    logged: Logged,
) -> Result<Drawn, WorkerError> {
    let reason = match &failure {
        Failure::Store(reason) => {
            tools.health.unmet("weights", reason.clone());
            if let Err(error) = tools.store.report_broken(delivery.order.weights, reason).await {
                tracing::debug!(%error, "could not report weights that cannot be loaded");
            }
            reason.clone()
        }
        Failure::Draw(reason) => {
            tools.health.unmet("device", format!("drawing fails: {reason}"));
            reason.clone()
        }
        Failure::Final(error) => {
            tools.health.unmet("device", error.to_string());
            error.to_string()
        }
    };
    tools.counters.batches_failed.fetch_add(1, Ordering::Relaxed);
    let is_logged = logged == Logged::Yes || !matches!(failure, Failure::Store(_));
    if is_logged {
        let (order, attempt) = (&delivery.order.order_id, delivery.attempt);
        tracing::error!(order, attempt, %reason, "batch failed");
    }
    batch.abandon(&reason);
    match tools.store.hand_back(delivery).await {
        Ok(()) => {
            tools.counters.orders_handed_back.fetch_add(1, Ordering::Relaxed);
            if is_logged {
                tracing::info!(order = delivery.order.order_id, "order handed back");
            }
        }
        // Another worker has the order, or will claim it.
        Err(error) => tracing::warn!(%error, "could not return the order to the queue"),
    }
    match failure {
        Failure::Store(_) => Ok(Drawn::NotStarted),
        Failure::Draw(_) => Ok(Drawn::Failed),
        Failure::Final(error) => Err(error),
    }
}

/// Loads the order's weights on the device.
async fn load(tools: &Tools, order: &WorkOrder) -> Result<(), Failure> {
    let wanted = (order.weights, order.weights_digest);
    if *tools.loaded.borrow() != Some(wanted) {
        let start = Instant::now();
        tools.device.load(fetch(tools, order).await?).await.map_err(|error| match error {
            DeviceError::Backend(error @ BackendError::Weights { .. }) => {
                Failure::Store(error.to_string())
            }
            error => error.into(),
        })?;
        let seconds = start.elapsed().as_secs_f64();
        tracing::info!(policy.version = order.weights.version.0, seconds, "weights loaded");
        tools.metrics.weights.inc(["loaded"]);
        tools.metrics.weights_fetch_seconds.observe([], seconds);
        tools.loaded.send_replace(Some(wanted));
    }
    tools.health.met("weights", order.weights.to_string());
    Ok(())
}

/// Fetches the order's weights from Redis.
async fn fetch(tools: &Tools, order: &WorkOrder) -> Result<ReceivedWeights, Failure> {
    let id = order.weights;
    let failed = |error: BroadcastError| Failure::Store(error.to_string());
    let manifest = tools.store.manifest(id).await.map_err(failed)?;
    let manifest =
        manifest.ok_or_else(|| Failure::Store(format!("weights {id} are not published")))?;
    if manifest.weights_digest != order.weights_digest {
        let (expected, found) = (order.weights_digest, manifest.weights_digest);
        let reason = format!("weights {id}: expected digest {expected}, found {found}");
        return Err(Failure::Store(reason));
    }
    let weights = tools.store.fetch(&manifest).await.map_err(failed)?;
    let tensors = manifest.tensors.iter().enumerate().map(|(index, tensor)| {
        let values = weights.values(index).unwrap_or_default();
        (tensor.name.clone(), tensor.shape.clone(), values)
    });
    Ok(ReceivedWeights { id, digest: order.weights_digest, tensors: tensors.collect() })
}

/// Keeps an order alive until the token is cancelled.
fn keep_alive(config: &WorkerConfig, tools: &Tools, delivery: &Delivery) -> CancellationToken {
    let token = CancellationToken::new();
    let (ended, store, delivery) = (token.clone(), Arc::clone(&tools.store), delivery.clone());
    let mut ticks = interval(config.keep_alive);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match store.keep_alive(&delivery).await {
                // Another worker draws it too; the learner accepts the first result.
                Err(BroadcastError::LostOrder { .. }) => return,
                Err(error) => tracing::debug!(%error, "could not keep the order alive"),
                Ok(()) => {}
            }
        }
    });
    token
}

struct Settling {
    store: Arc<RedisBroadcast>,
    board: Board,
    counters: Arc<WorkerCounters>,
    delivery: Delivery,
    receipts: Vec<Sent>,
}

/// Waits for the learner's answer to each trajectory, then acknowledges the order.
async fn settle(settling: Settling) {
    let Settling { store, board, counters, delivery, receipts } = settling;
    let order = &delivery.order;
    for (Sent { receipt, span }, &sample) in receipts.into_iter().zip(&order.samples) {
        let id = trajectory_id(order, sample);
        let receipt = receipt.await;
        if let Ok(receipt) = &receipt {
            span.record("verdict", receipt.verdict.name());
        }
        // The span ends with the receipt.
        drop(span);
        match receipt {
            Ok(receipt) if matches!(receipt.verdict, Verdict::Accepted | Verdict::Duplicate) => {
                board.accepted(&id);
            }
            Ok(receipt) => {
                let verdict = receipt.verdict;
                tracing::warn!(trajectory.id = id, %verdict, reason = receipt.reason, "refused");
                board.rejected(&id, &receipt.reason);
            }
            // The uplink was closed: the order stays unacknowledged, and another worker claims it.
            Err(_) => return,
        }
    }
    match store.acknowledge(&delivery).await {
        Ok(()) => _ = counters.orders_acknowledged.fetch_add(1, Ordering::Relaxed),
        // Another worker draws it again, bit for bit; its trajectories are duplicates.
        Err(error) => tracing::warn!(%error, "could not acknowledge an order"),
    }
}
