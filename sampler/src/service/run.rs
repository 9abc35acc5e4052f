//! The service as a whole: waits for a run, prepares the device for it, works, and drains.

use crate::backend::{Backend, BackendError};
use crate::model::ModelBackend;
use crate::service::device::Device;
use crate::service::failures::{Logged, StoreFailures};
use crate::service::settings::SamplerSettings;
use crate::service::worker::{Ended, Tools, WorkerConfig, WorkerCounters, work};
use anyhow::{Context, Result};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_delivery::destination::Destination;
use ddpo_delivery::uplink::{Uplink, UplinkSettings};
use ddpo_diffusion::device;
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_rollout::order::{RunSpec, WeightsId};
use ddpo_rollout::trajectory::Digest;
use ddpo_service::auth::redis_password;
use ddpo_service::host::Host;
use ddpo_service::inspector::{ServiceInfo, Status, StatusSource};
use ddpo_service::metrics::Metrics;
use ddpo_service::serve::serve;
use ddpo_service::{counts, link};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::service::RoutesBuilder;

/// Names of the health conditions.
pub const CONDITIONS: [&str; 3] = ["device", "weights", "rewarder"];

/// Opens the backend of a run on the device's thread.
pub type OpenBackend =
    dyn Fn(&RunSpec, &SamplerSettings) -> Result<Box<dyn Backend>, BackendError> + Send + Sync;

/// Opens the model that the learner publishes.
///
/// # Errors
/// [`BackendError::Run`] if the device or a config is not supported, and the errors of
/// [`ModelBackend::new`].
pub fn open_model(
    spec: &RunSpec,
    settings: &SamplerSettings,
) -> Result<Box<dyn Backend>, BackendError> {
    let refused = |error: device::DeviceError| BackendError::Run {
        run_id: spec.run_id.clone(),
        reason: error.to_string(),
    };
    let device = device::open(&settings.sampler_device, spec.numerics).map_err(refused)?;
    tracing::info!(
        device = device::describe(&settings.sampler_device, device),
        "opened the device"
    );
    let threads = device::set_threads(settings.sampler_threads).map_err(refused)?;
    Ok(Box::new(ModelBackend::new(spec, device, threads)?))
}

/// Runs the service until shutdown is requested. `open` opens the backend of each run.
///
/// # Errors
/// Settings, ports or Redis that cannot be used, and failures of the device.
pub async fn run(host: Host, settings: SamplerSettings, open: Arc<OpenBackend>) -> Result<()> {
    let uplink = uplink(&host, &settings)?;
    let board = Board::new(BoardLimits::default());
    let (counters, loaded) = (Arc::<WorkerCounters>::default(), watch::Sender::new(None));
    let source = Source {
        info: host.info(),
        uplink: uplink.clone(),
        counters: Arc::clone(&counters),
        loaded: loaded.subscribe(),
    };
    serve(&host, &board, source, &["ddpo.v1.Inspector"], RoutesBuilder::default()).await?;
    let store = tokio::select! {
        () = host.shutdown.wait() => {
            host.close().await;
            return Ok(());
        }
        store = connect(&host, &settings) => store?,
    };
    tokio::spawn(link::follow(host.health.clone(), "rewarder", uplink.link()));
    tokio::spawn(report(Arc::clone(&store), host.worker.id.clone(), loaded.subscribe()));
    let backends = Backends { settings, open };
    let worked = work_until_drained(&host, &backends, &store, &uplink, &board, &counters, loaded);
    let worked = tokio::select! {
        worked = worked => worked,
        () = past_grace(&host) => {
            tracing::warn!("leaving unfinished orders to other samplers");
            Ok(())
        }
    };
    host.health.drain();
    let left = uplink.close(Duration::from_secs(1)).await;
    if left > 0 {
        tracing::warn!(
            trajectories = left,
            "trajectories left without a receipt; other samplers will claim their orders"
        );
    }
    // If Redis is unreachable, the worker's entry expires.
    let _ = timeout(Duration::from_secs(2), store.forget_worker(&host.worker.id)).await;
    host.close().await;
    worked
}

/// Returns when the grace period after the shutdown request is over.
async fn past_grace(host: &Host) {
    host.shutdown.wait().await;
    host.health.drain();
    let margin = Duration::from_secs(5).min(host.settings.grace_period() / 2);
    sleep(host.settings.grace_period() - margin).await;
}

/// Opens backends according to the sampler's settings.
struct Backends {
    settings: SamplerSettings,
    open: Arc<OpenBackend>,
}

impl Backends {
    /// Starts the device thread with the backend of a run.
    async fn device(&self, spec: &RunSpec) -> Result<Device> {
        let (spec, settings, open) = (spec.clone(), self.settings.clone(), Arc::clone(&self.open));
        Ok(Device::start(move || open(&spec, &settings)).await?)
    }
}

async fn work_until_drained(
    host: &Host,
    backends: &Backends,
    store: &Arc<RedisBroadcast>,
    uplink: &Uplink,
    board: &Board,
    counters: &Arc<WorkerCounters>,
    loaded: watch::Sender<Option<(WeightsId, Digest)>>,
) -> Result<()> {
    let drain = host.shutdown.token();
    let config = WorkerConfig {
        worker: host.worker.clone(),
        batches_in_flight: backends.settings.batches_in_flight.max(1),
        keep_alive: Duration::from_secs_f64(backends.settings.claim_after_seconds / 3.0),
        block: Duration::from_secs(1),
    };
    // Creates the counter at 0, so that monitoring sees its first rise.
    host.metrics.errors.add(["store"], 0);
    loop {
        let Some(spec) = wait_for_run(host, store).await? else { return Ok(()) };
        let device = backends.device(&spec).await.inspect_err(|error| {
            host.health.unmet("device", error.to_string());
        })?;
        host.health.met("device", "ready for the run");
        let tools = Tools {
            store: Arc::clone(store),
            uplink: uplink.clone(),
            device,
            board: board.clone(),
            health: host.health.clone(),
            counters: Arc::clone(counters),
            metrics: host.metrics.clone(),
            loaded: loaded.clone(),
        };
        loaded.send_replace(None);
        match work(&config, &tools, &spec, &drain).await? {
            Ended::Drained => return Ok(()),
            Ended::RunChanged => tracing::info!("the run has changed; preparing the device again"),
        }
    }
}

async fn connect(host: &Host, settings: &SamplerSettings) -> Result<Arc<RedisBroadcast>> {
    let url = host.settings.redis_url.expose();
    let password = redis_password(&host.settings)?;
    let config = RedisConfig {
        password: password.map(|password| password.expose().to_owned()),
        claim_after: Duration::from_secs_f64(settings.claim_after_seconds),
        ..RedisConfig::new(url, &host.settings.run_id)
    };
    let connecting = RedisBroadcast::connect_within(&config, RedisConfig::STARTUP_PATIENCE);
    let store = connecting.await.context("redis_url")?;
    Ok(Arc::new(store))
}

/// Returns the run once a learner has published it; `None` if shutdown is requested before.
async fn wait_for_run(host: &Host, store: &Arc<RedisBroadcast>) -> Result<Option<RunSpec>> {
    const LOOK: Duration = Duration::from_millis(300);
    let mut told = false;
    let mut failures = StoreFailures::default();
    loop {
        let found = tokio::select! {
            () = host.shutdown.wait() => return Ok(None),
            found = store.run_spec() => found,
        };
        match found {
            Ok(Some(spec)) => return Ok(Some(spec)),
            Ok(None) => failures.succeeded(),
            Err(error) => {
                let logged = match &error {
                    // A learner stores a specification again that another program has changed.
                    BroadcastError::Invalid { .. } => Some(failures.failed_to_read()),
                    error => failures.failed(error),
                };
                let Some(logged) = logged else { return Err(error.into()) };
                if logged == Logged::Yes {
                    tracing::warn!(%error, "could not read the run; retrying");
                }
            }
        }
        if !std::mem::replace(&mut told, true) {
            host.health.unmet("weights", "waiting for a learner to publish the run");
        }
        tokio::select! {
            () = host.shutdown.wait() => return Ok(None),
            () = sleep(LOOK) => {}
        }
    }
}

fn uplink(host: &Host, settings: &SamplerSettings) -> Result<Uplink> {
    let defaults =
        link::uplink_settings(&host.client_auth, Destination::Rewarder, &settings.rewarders)
            .context("sampler.rewarders")?;
    // A hash of the worker id spreads samplers over the rewarders.
    let name = Digest::of(host.worker.id.as_bytes()).0;
    let settings = UplinkSettings {
        first_address: usize::from(name[0]),
        receipt_timeout: Duration::from_secs(60),
        ..defaults
    };
    Uplink::start(settings, &Handle::current()).context("sampler.rewarders")
}

/// Reports to Redis every few seconds, and whenever the weights change, that this worker is alive
/// and which weights it draws with.
async fn report(
    store: Arc<RedisBroadcast>,
    worker: String,
    mut loaded: watch::Receiver<Option<(WeightsId, Digest)>>,
) {
    const EVERY: Duration = Duration::from_secs(3);
    loop {
        let version = loaded.borrow_and_update().map(|(weights, _)| weights.version);
        if let Some(version) = version
            && let Err(error) = store.report_worker(&worker, version).await
        {
            tracing::debug!(%error, "could not report to Redis");
        }
        if let Ok(Err(_)) = timeout(EVERY, loaded.changed()).await {
            return;
        }
    }
}

/// The source of the status and the metrics.
struct Source {
    info: ServiceInfo,
    uplink: Uplink,
    counters: Arc<WorkerCounters>,
    loaded: watch::Receiver<Option<(WeightsId, Digest)>>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let counters = &self.counters;
        let counters = counts::named([
            ("trajectories_drawn", &counters.drawn),
            ("orders_taken", &counters.orders_taken),
            ("orders_claimed", &counters.orders_claimed),
            ("orders_acknowledged", &counters.orders_acknowledged),
            ("orders_handed_back", &counters.orders_handed_back),
            ("batches_failed", &counters.batches_failed),
        ]);
        counters.into_iter().chain(counts::of_uplink(self.uplink.counters())).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let activity = if self.info.is_draining() { "draining" } else { "drawing" };
        Status {
            weights: self.loaded.borrow().map(|(weights, digest)| (weights.version, digest)),
            counters: self.counts(),
            ..self.info.status("sampler", activity)
        }
    }

    fn measure(&self, metrics: &Metrics) {
        link::measure(metrics, "sampler", &self.uplink);
        metrics.devices(device::memory());
    }
}
