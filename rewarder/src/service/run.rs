//! The service as a whole: opens the reward that the learner describes, takes trajectories, and drains.

use crate::service::relay::{Relay, RelayCounters, RelayHandler};
use crate::service::scoring::{self, CurrentScoring, OpenRewards, ScoringParts};
use crate::service::settings::RewarderSettings;
use anyhow::{Context, Result};
use ddpo_delivery::destination::Destination;
use ddpo_delivery::intake::{Intake, IntakeCounters, IntakeSettings};
use ddpo_delivery::run::RunClient;
use ddpo_delivery::uplink::{Uplink, UplinkSettings};
use ddpo_diffusion::device;
use ddpo_inspector::board::{Board, BoardLimits};
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
use tokio::time::timeout;
use tonic::service::RoutesBuilder;

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["model", "learner"];

/// Runs the service until shutdown is requested. `open` opens the models of a specification.
///
/// # Errors
/// Settings, ports or reward models that cannot be used.
pub async fn run(host: Host, settings: RewarderSettings, open: Arc<OpenRewards>) -> Result<()> {
    let to_learner = uplink_settings(&host, &settings)?;
    let client = RunClient::new(&to_learner).context("rewarder.learners")?;
    let uplink = Uplink::start(to_learner, &Handle::current()).context("rewarder.learners")?;
    let waiting = scoring::waiting(&host.health, &host.shutdown, settings.reward_deadline()?);
    let runtime = settings.runtime(waiting)?;
    let (opened, current) = watch::channel(None);
    let board = Board::new(BoardLimits::default());
    let relay = Arc::new(Relay::new(current.clone(), uplink.clone(), board.clone()));
    let intake = Intake::new(
        Arc::new(RelayHandler(Arc::clone(&relay))),
        IntakeSettings {
            credits_per_stream: settings.credits_per_sampler,
            max_streams: settings.max_samplers,
            ..IntakeSettings::default()
        },
    );
    let source = Source {
        info: host.info(),
        uplink: uplink.clone(),
        current,
        relay: Arc::clone(relay.counters()),
        intake: Arc::clone(intake.counters()),
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(intake.rewarder_service());
    serve(&host, &board, source, &["ddpo.v1.Rewarder", "ddpo.v1.Inspector"], routes).await?;
    tokio::spawn(link::follow(host.health.clone(), "learner", uplink.link()));
    let parts = ScoringParts {
        client,
        runtime,
        batcher: settings.batcher(),
        open,
        health: host.health.clone(),
        metrics: host.metrics.clone(),
        shutdown: host.shutdown.clone(),
    };
    let followed = scoring::follow(parts, opened).await;
    drain(&host, &intake, &relay, &uplink).await;
    host.close().await;
    followed
}

fn uplink_settings(host: &Host, settings: &RewarderSettings) -> Result<UplinkSettings> {
    let defaults =
        link::uplink_settings(&host.client_auth, Destination::Learner, &settings.learners)
            .context("rewarder.learners")?;
    Ok(UplinkSettings { receipt_timeout: Duration::from_secs(30), ..defaults })
}

/// Stops the intake, finishes the trajectories in progress, and passes the last receipts back.
async fn drain(host: &Host, intake: &Intake<RelayHandler>, relay: &Relay, uplink: &Uplink) {
    host.health.drain();
    intake.drain();
    let margin = Duration::from_secs(3).min(host.settings.grace_period() / 2);
    let settled = timeout(host.settings.grace_period() - margin, relay.settle()).await;
    let left = uplink.close(Duration::from_millis(500)).await;
    if settled.is_err() || left > 0 {
        tracing::warn!(
            trajectories = left,
            "trajectories left without a receipt; samplers will send them again"
        );
    }
}

/// The source of the status and the metrics.
struct Source {
    info: ServiceInfo,
    uplink: Uplink,
    current: CurrentScoring,
    relay: Arc<RelayCounters>,
    intake: Arc<IntakeCounters>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let counters = counts::named([
            ("trajectories_scored", &self.relay.scored),
            ("trajectories_refused", &self.relay.refused),
            ("receipts_passed_back", &self.relay.answered),
            ("scores_failed", &self.relay.failed),
            ("scores_not_finite", &self.relay.not_finite),
        ]);
        let received = counts::of_intake(&self.intake);
        let sent = counts::of_uplink(self.uplink.counters());
        counters.into_iter().chain(received).chain(sent).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let activity = if self.info.is_draining() { "draining" } else { "scoring" };
        Status { counters: self.counts(), ..self.info.status("rewarder", activity) }
    }

    fn measure(&self, metrics: &Metrics) {
        link::measure(metrics, "rewarder", &self.uplink);
        let waiting = self.current.borrow().as_ref().map_or(0, |scoring| scoring.batcher.waiting());
        metrics.queue_depth.set(["reward_model"], waiting as f64);
        metrics.devices(device::memory());
    }
}
