//! The service as a whole: loads the reward model, takes trajectories, and drains.

use crate::own::waiting::{Reach, Waiting};
use crate::rewards::Rewards;
use crate::service::batcher::Batcher;
use crate::service::fake::MeanLevel;
use crate::service::relay::{Relay, RelayCounters, RelayHandler, RelayParts};
use crate::service::settings::RewarderSettings;
use anyhow::{Context, Result};
use ddpo_delivery::destination::Destination;
use ddpo_delivery::intake::{Intake, IntakeCounters, IntakeSettings};
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
use tokio::time::timeout;
use tonic::service::RoutesBuilder;

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["model", "learner"];

/// How long trajectories are held for a reward server that does not answer, before they are sent back
/// to where they came from.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the service until somebody asks to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(host: Host, settings: RewarderSettings) -> Result<()> {
    let uplink = uplink(&host, &settings)?;
    let task = settings.reward()?.label();
    let rewards = match rewards(&settings, waiting(&host, &task)) {
        // Asked to stop while it waited for a reward server.
        Err(_) if host.shutdown.requested() => {
            host.close().await;
            return Ok(());
        }
        opened => opened?,
    };
    let batcher = Batcher::start(rewards, settings.batcher(), host.metrics.clone())?;
    host.health.met("model", task.clone());
    let board = Board::new(BoardLimits::default());
    let relay = Arc::new(Relay::new(RelayParts {
        task,
        pixel_map: settings.pixel_map(),
        batcher: batcher.clone(),
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
        info: host.info(),
        uplink: uplink.clone(),
        batcher,
        relay: Arc::clone(relay.counters()),
        intake: Arc::clone(intake.counters()),
    };
    let mut own = RoutesBuilder::default();
    own.add_service(intake.rewarder_service());
    serve(&host, &board, source, &["ddpo.v1.Rewarder", "ddpo.v1.Inspector"], own).await?;
    tokio::spawn(link::follow(host.health.clone(), "learner", uplink.link()));
    host.shutdown.wait().await;
    drain(&host, &intake, &relay, &uplink).await;
    host.close().await;
    Ok(())
}

/// While no reward server answers, the model's condition is not met, and samplers are told to come
/// again.
fn waiting(host: &Host, task: &str) -> Waiting {
    let (health, shutdown, task) = (host.health.clone(), host.shutdown.clone(), task.to_owned());
    let tell = move |reach: &Reach| match reach {
        Reach::Lost(line) => health.unmet("model", line.clone()),
        Reach::Found(_) => health.met("model", task.clone()),
    };
    Waiting::new(tell, move || shutdown.requested()).patient_for(PATIENCE)
}

fn rewards(settings: &RewarderSettings, waiting: Waiting) -> Result<Rewards> {
    let (reward, held_out) = (settings.reward()?, settings.held_out()?);
    if settings.fake_reward {
        return Ok(Rewards::alone(Box::new(MeanLevel)));
    }
    let options = settings.reward_options(waiting)?;
    Ok(Rewards::open(&reward, &held_out, &options, &mut |line| tracing::info!("{line}"))?)
}

fn uplink(host: &Host, settings: &RewarderSettings) -> Result<Uplink> {
    let own = link::uplink_settings(&host.client_auth, Destination::Learner, &settings.learners)
        .context("rewarder.learners")?;
    let settings = UplinkSettings { receipt_timeout: Duration::from_secs(30), ..own };
    Uplink::start(settings, &Handle::current()).context("rewarder.learners")
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

/// The status.
struct Source {
    info: ServiceInfo,
    uplink: Uplink,
    batcher: Batcher,
    relay: Arc<RelayCounters>,
    intake: Arc<IntakeCounters>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let own = counts::named([
            ("trajectories_scored", &self.relay.scored),
            ("trajectories_refused", &self.relay.refused),
            ("receipts_passed_back", &self.relay.answered),
            ("scores_failed", &self.relay.failed),
            ("scores_not_finite", &self.relay.not_finite),
        ]);
        let received = counts::of_intake(&self.intake);
        let sent = counts::of_uplink(self.uplink.counters());
        own.into_iter().chain(received).chain(sent).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let activity = if self.info.is_draining() { "draining" } else { "scoring" };
        Status { counters: self.counts(), ..self.info.status("rewarder", activity) }
    }

    fn measure(&self, metrics: &Metrics) {
        link::measure(metrics, "rewarder", &self.uplink);
        metrics.queue_depth.set(["reward_model"], self.batcher.waiting() as f64);
        metrics.devices(device::memory());
    }
}
