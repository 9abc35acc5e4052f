//! The service as a whole: loads the reward model, takes trajectories, and drains.

use crate::model::{RewardModel, reward_for};
use crate::service::batcher::Batcher;
use crate::service::fake::MeanLevel;
use crate::service::relay::{Relay, RelayCounters, RelayHandler, RelayParts};
use crate::service::settings::RewarderSettings;
use crate::task::Task;
use anyhow::{Context, Result};
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_inspector::export::export;
use ddpo_inspector::service::InspectorService;
use ddpo_inspector::status::{Status, StatusSource};
use ddpo_proto::intake::{Intake, IntakeCounters, IntakeSettings};
use ddpo_proto::stream::{Destination, Verdict};
use ddpo_proto::uplink::{Backoff, LinkState, Uplink, UplinkSettings};
use ddpo_service::health::Health;
use ddpo_service::host::Host;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["model", "learner"];

/// Longest pause between two attempts to reach a learner: a run stands still meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs the service until somebody asks to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(host: Host, settings: RewarderSettings) -> Result<()> {
    let uplink = uplink(&host, &settings)?;
    let batcher = Batcher::start(model(&settings)?, settings.batcher())?;
    host.health.met("model", settings.reward_task.clone());
    let board = Board::new(BoardLimits::default());
    let relay = Arc::new(Relay::new(RelayParts {
        task: settings.reward_task.clone(),
        pixel_map: settings.pixel_map(),
        batcher,
        uplink: uplink.clone(),
        board: board.clone(),
    }));
    let intake = Intake::new(
        Arc::new(RelayHandler(Arc::clone(&relay))),
        IntakeSettings {
            credits_per_stream: settings.credits_per_sampler,
            max_streams: settings.max_samplers,
            ..IntakeSettings::default()
        },
    );
    let source = Source {
        worker_id: host.worker.id.clone(),
        incarnation: host.worker.incarnation,
        run_id: host.settings.run_id.clone(),
        health: host.health.clone(),
        uplink: uplink.clone(),
        relay: Arc::clone(relay.counters()),
        intake: Arc::clone(intake.counters()),
    };
    serve(&host, &board, &intake, source).await?;
    tokio::spawn(follow_link(host.health.clone(), uplink.link()));
    host.shutdown.wait().await;
    drain(&host, &intake, &relay, &uplink).await;
    host.close().await;
    Ok(())
}

fn model(settings: &RewarderSettings) -> Result<Box<dyn RewardModel>> {
    if settings.fake_reward {
        return Ok(Box::new(MeanLevel));
    }
    let task: Task = settings.reward_task.parse().context("rewarder.reward_task")?;
    let options = settings.reward_options()?;
    Ok(reward_for(task, &options, &mut |line| tracing::info!("{line}"))?)
}

fn uplink(host: &Host, settings: &RewarderSettings) -> Result<Uplink> {
    for address in &settings.learners {
        host.key.endpoint(address).context("rewarder.learners")?;
    }
    let settings = UplinkSettings {
        tls: host.key.tls().cloned(),
        bearer_token: host.key.token().map(|token| token.expose().to_owned()),
        receipt_timeout: Duration::from_secs(30),
        backoff: Backoff { longest: LONGEST_PAUSE, ..Backoff::default() },
        ..UplinkSettings::new(Destination::Learner, settings.learners.clone())
    };
    Uplink::start(settings, &Handle::current()).context("rewarder.learners")
}

async fn serve(
    host: &Host,
    board: &Board,
    intake: &Intake<RelayHandler>,
    source: Source,
) -> Result<()> {
    let source: Arc<dyn StatusSource> = Arc::new(source);
    let (metrics, health) = (host.metrics.clone(), host.health.clone());
    tokio::spawn(export(metrics, health, board.clone(), Arc::clone(&source)));
    let incoming = host.open().await?;
    let (v1, v1alpha) = ddpo_inspector::reflection::services()?;
    let router = host
        .door
        .server()?
        .add_service(host.health.grpc(&["ddpo.v1.Rewarder", "ddpo.v1.Inspector"]))
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(InspectorService::server(board.clone(), Arc::clone(&source)))
        .add_service(intake.rewarder_service());
    let closing = host.closing.clone().cancelled_owned();
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
    Ok(())
}

/// Takes nothing more, finishes what is here, and passes the last receipts back.
async fn drain(host: &Host, intake: &Intake<RelayHandler>, relay: &Relay, uplink: &Uplink) {
    host.health.drain();
    intake.drain();
    let margin = Duration::from_secs(3).min(host.settings.grace_period() / 2);
    let settled = timeout(host.settings.grace_period() - margin, relay.settle()).await;
    let left = uplink.close(Duration::from_millis(500)).await;
    if settled.is_err() || left > 0 {
        tracing::warn!(
            trajectories = left,
            "left without a receipt; samplers will send them again"
        );
    }
}

/// Keeps the condition `learner` true to the uplink.
async fn follow_link(health: Health, mut link: watch::Receiver<LinkState>) {
    loop {
        match &*link.borrow_and_update() {
            LinkState::Up { address } => health.met("learner", format!("connected to {address}")),
            LinkState::Idle => health.met("learner", "nothing to send yet"),
            LinkState::Down { reason, .. } => health.unmet("learner", reason.clone()),
        }
        if link.changed().await.is_err() {
            return;
        }
    }
}

/// The status.
struct Source {
    worker_id: String,
    incarnation: u64,
    run_id: String,
    health: Health,
    uplink: Uplink,
    relay: Arc<RelayCounters>,
    intake: Arc<IntakeCounters>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let (relay, intake, sent) = (&self.relay, &self.intake, self.uplink.counters());
        let loads = [
            ("trajectories_scored", &relay.scored),
            ("trajectories_refused", &relay.refused),
            ("receipts_passed_back", &relay.answered),
            ("trajectories_opened", &intake.opened),
            ("trajectories_received", &intake.completed),
            ("trajectories_malformed", &intake.rejected),
            ("trajectories_lost", &intake.lost),
            ("state_bytes_received", &intake.state_bytes),
            ("streams", &intake.streams),
            ("stream_errors", &intake.stream_errors),
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
            None => "scoring".to_owned(),
        };
        Status {
            service: "rewarder",
            worker_id: self.worker_id.clone(),
            incarnation: self.incarnation,
            run_id: self.run_id.clone(),
            serving: report.serving(),
            activity,
            weights: None,
            epoch: None,
            counters: self.counts(),
        }
    }
}
