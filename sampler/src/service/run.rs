//! The service as a whole: waits for a run, sets the device up for it, works, and drains.

use crate::backend::{Backend, BackendError};
use crate::fake::FakeBackend;
use crate::model::ModelBackend;
use crate::service::batch::Worker;
use crate::service::device::Device;
use crate::service::settings::{BackendKind, SamplerSettings};
use crate::service::worker::{Ended, Tools, WorkerConfig, WorkerCounters, work};
use anyhow::{Context, Result, bail};
use ddpo_broadcast::Broadcast;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_diffusion::device;
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_inspector::export::export;
use ddpo_inspector::service::InspectorService;
use ddpo_inspector::status::{Status, StatusSource};
use ddpo_proto::stream::{Destination, Verdict};
use ddpo_proto::uplink::{Backoff, LinkState, Uplink, UplinkSettings};
use ddpo_rollout::order::{RunSpec, WeightsId};
use ddpo_rollout::trajectory::Digest;
use ddpo_service::health::Health;
use ddpo_service::host::Host;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["weights", "rewarder"];

/// Longest pause between two attempts to reach a rewarder: a run stands still meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs the service until somebody asks to stop.
///
/// # Errors
/// What kept it from starting or going on.
pub async fn run(host: Host, settings: SamplerSettings) -> Result<()> {
    let uplink = uplink(&host, &settings)?;
    let board = Board::new(BoardLimits::default());
    let (counters, loaded) = (Arc::<WorkerCounters>::default(), watch::Sender::new(None));
    let source = Source::new(&host, &uplink, &counters, loaded.subscribe());
    serve(&host, &board, source).await?;
    let store = tokio::select! {
        () = host.shutdown.wait() => {
            host.close().await;
            return Ok(());
        }
        store = connect(&host, &settings) => store?,
    };
    tokio::spawn(follow_link(host.health.clone(), uplink.link()));
    tokio::spawn(report(Arc::clone(&store), host.worker.id.clone(), loaded.subscribe()));
    let worked = work_until_drained(&host, &settings, &store, &uplink, &board, &counters, loaded);
    let worked = tokio::select! {
        worked = worked => worked,
        () = past_grace(&host) => {
            tracing::warn!("orders in hand are left to other samplers");
            Ok(())
        }
    };
    host.health.drain();
    let left = uplink.close(Duration::from_secs(1)).await;
    if left > 0 {
        tracing::warn!(trajectories = left, "left without a receipt; their orders will be claimed");
    }
    // A store that cannot be reached forgets the worker by itself.
    let _ = timeout(Duration::from_secs(2), store.forget_worker(&host.worker.id)).await;
    host.close().await;
    worked
}

/// Ends when the grace period after the request to stop is over.
async fn past_grace(host: &Host) {
    host.shutdown.wait().await;
    host.health.drain();
    let margin = Duration::from_secs(5).min(host.settings.grace_period() / 2);
    sleep(host.settings.grace_period() - margin).await;
}

async fn work_until_drained(
    host: &Host,
    settings: &SamplerSettings,
    store: &Arc<dyn Broadcast>,
    uplink: &Uplink,
    board: &Board,
    counters: &Arc<WorkerCounters>,
    loaded: watch::Sender<Option<(WeightsId, Digest)>>,
) -> Result<()> {
    let drain = host.shutdown.token();
    let config = WorkerConfig {
        worker: Worker { id: host.worker.id.clone(), incarnation: host.worker.incarnation },
        batches_in_flight: settings.batches_in_flight.max(1),
        keep_alive: Duration::from_secs_f64(settings.claim_after_seconds / 3.0),
        block: Duration::from_secs(1),
    };
    loop {
        let Some(spec) = wait_for_run(host, store).await? else { return Ok(()) };
        let tools = Tools {
            store: Arc::clone(store),
            uplink: uplink.clone(),
            device: device(&spec, settings).await?,
            board: board.clone(),
            health: host.health.clone(),
            counters: Arc::clone(counters),
            loaded: loaded.clone(),
        };
        loaded.send_replace(None);
        match work(&config, &tools, &spec, &drain).await? {
            Ended::Drained => return Ok(()),
            Ended::RunChanged => tracing::info!("the run has changed; setting up anew"),
        }
    }
}

async fn connect(host: &Host, settings: &SamplerSettings) -> Result<Arc<dyn Broadcast>> {
    if !(0.1..=3600.0).contains(&settings.claim_after_seconds) {
        let found = settings.claim_after_seconds;
        bail!("sampler.claim_after_seconds = {found}: expected 0.1 to 3600");
    }
    let url = host.settings.redis_url.expose();
    let config = RedisConfig {
        claim_after: Duration::from_secs_f64(settings.claim_after_seconds),
        ..RedisConfig::new(url, &host.settings.run_id)
    };
    let connecting = RedisBroadcast::connect_within(&config, RedisConfig::STARTUP_PATIENCE);
    let store = connecting.await.context("redis_url")?;
    Ok(Arc::new(store))
}

/// The run, once a learner has published it; `None` if somebody asked to stop before.
async fn wait_for_run(host: &Host, store: &Arc<dyn Broadcast>) -> Result<Option<RunSpec>> {
    const LOOK: Duration = Duration::from_millis(300);
    let mut told = false;
    loop {
        match store.run_spec().await {
            Ok(Some(spec)) => return Ok(Some(spec)),
            Ok(None) => {}
            Err(error) if error.is_transient() => tracing::warn!(%error, "no run for the moment"),
            Err(error) => return Err(error.into()),
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

async fn device(spec: &RunSpec, settings: &SamplerSettings) -> Result<Device> {
    let (spec, settings) = (spec.clone(), settings.clone());
    let make = move || -> Result<Box<dyn Backend>, BackendError> {
        let refused = |error: device::DeviceError| BackendError::Run {
            run_id: spec.run_id.clone(),
            reason: error.to_string(),
        };
        Ok(match settings.backend {
            BackendKind::Fake => Box::new(FakeBackend::new(settings.fake(), spec.scheduler_digest)),
            BackendKind::Model => {
                let device = device::parse(&settings.sampler_device).map_err(refused)?;
                let threads = device::set_threads(settings.sampler_threads).map_err(refused)?;
                Box::new(ModelBackend::new(&spec, device, threads)?)
            }
        })
    };
    Ok(Device::start(make).await?)
}

fn uplink(host: &Host, settings: &SamplerSettings) -> Result<Uplink> {
    for address in &settings.rewarders {
        host.key.endpoint(address).context("sampler.rewarders")?;
    }
    // Workers spread over the rewarders by their names.
    let name = Digest::of(host.worker.id.as_bytes()).0;
    let settings = UplinkSettings {
        first_address: usize::from(name[0]),
        tls: host.key.tls().cloned(),
        bearer_token: host.key.token().map(|token| token.expose().to_owned()),
        receipt_timeout: Duration::from_secs(60),
        backoff: Backoff { longest: LONGEST_PAUSE, ..Backoff::default() },
        ..UplinkSettings::new(Destination::Rewarder, settings.rewarders.clone())
    };
    Uplink::start(settings, &Handle::current()).context("sampler.rewarders")
}

/// Serves health, reflection and the inspector.
async fn serve(host: &Host, board: &Board, source: Source) -> Result<()> {
    let source: Arc<dyn StatusSource> = Arc::new(source);
    let (metrics, health) = (host.metrics.clone(), host.health.clone());
    tokio::spawn(export(metrics, health, board.clone(), Arc::clone(&source)));
    let incoming = host.open().await?;
    let (v1, v1alpha) = ddpo_inspector::reflection::services()?;
    let router = host
        .door
        .server()?
        .add_service(host.health.grpc(&["ddpo.v1.Inspector"]))
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(InspectorService::server(board.clone(), Arc::clone(&source)));
    let closing = host.closing.clone().cancelled_owned();
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
    Ok(())
}

/// Keeps the condition `rewarder` true to the uplink.
async fn follow_link(health: Health, mut link: watch::Receiver<LinkState>) {
    loop {
        match &*link.borrow_and_update() {
            LinkState::Up { address } => health.met("rewarder", format!("connected to {address}")),
            LinkState::Idle => health.met("rewarder", "nothing to send yet"),
            LinkState::Down { reason, .. } => health.unmet("rewarder", reason.clone()),
        }
        if link.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the store every few seconds that this worker lives, and which weights it draws with.
async fn report(
    store: Arc<dyn Broadcast>,
    worker: String,
    loaded: watch::Receiver<Option<(WeightsId, Digest)>>,
) {
    const EVERY: Duration = Duration::from_secs(3);
    while loaded.has_changed().is_ok() {
        let version = loaded.borrow().map(|(weights, _)| weights.version);
        if let Some(version) = version
            && let Err(error) = store.report_worker(&worker, version).await
        {
            tracing::debug!(%error, "no sign of life could be given");
        }
        sleep(EVERY).await;
    }
}

/// The status.
struct Source {
    worker_id: String,
    incarnation: u64,
    run_id: String,
    health: Health,
    uplink: Uplink,
    counters: Arc<WorkerCounters>,
    loaded: watch::Receiver<Option<(WeightsId, Digest)>>,
}

impl Source {
    fn new(
        host: &Host,
        uplink: &Uplink,
        counters: &Arc<WorkerCounters>,
        loaded: watch::Receiver<Option<(WeightsId, Digest)>>,
    ) -> Self {
        Self {
            worker_id: host.worker.id.clone(),
            incarnation: host.worker.incarnation,
            run_id: host.settings.run_id.clone(),
            health: host.health.clone(),
            uplink: uplink.clone(),
            counters: Arc::clone(counters),
            loaded,
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let (own, sent) = (&self.counters, self.uplink.counters());
        let loads = [
            ("trajectories_drawn", &own.drawn),
            ("orders_taken", &own.orders_taken),
            ("orders_claimed", &own.orders_claimed),
            ("orders_acknowledged", &own.orders_acknowledged),
            ("orders_handed_back", &own.orders_handed_back),
            ("batches_failed", &own.batches_failed),
            ("trajectories_sent", &sent.trajectories_sent),
            ("trajectories_resent", &sent.trajectories_resent),
            ("state_bytes_sent", &sent.bytes_sent),
            ("reconnects", &sent.reconnects),
        ];
        let counts = loads.map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed)));
        let receipts = Verdict::ALL
            .map(|verdict| (format!("receipts_{}", verdict.name()), sent.receipts(verdict)));
        counts.into_iter().chain(receipts).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let report = self.health.report();
        let unmet = report.conditions.iter().find(|condition| !condition.met);
        let activity = match unmet {
            Some(condition) => format!("{}: {}", condition.name, condition.reason),
            None if report.draining => "draining".to_owned(),
            None => "drawing".to_owned(),
        };
        Status {
            service: "sampler",
            worker_id: self.worker_id.clone(),
            incarnation: self.incarnation,
            run_id: self.run_id.clone(),
            serving: report.serving(),
            activity,
            weights: self.loaded.borrow().map(|(weights, digest)| (weights.version, digest)),
            epoch: None,
            counters: self.counts(),
        }
    }
}
