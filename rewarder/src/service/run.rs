//! The service as a whole: loads the reward model, takes trajectories, and drains.

use crate::model::{RewardModel, reward_for};
use crate::service::batcher::Batcher;
use crate::service::fake::MeanLevel;
use crate::service::relay::{Relay, RelayCounters, RelayHandler, RelayParts};
use crate::service::settings::RewarderSettings;
use crate::task::Task;
use anyhow::{Context, Result};
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_inspector::serve::serve;
use ddpo_inspector::status::{Standing, Status, StatusSource};
use ddpo_inspector::{counts, link};
use ddpo_proto::intake::{Intake, IntakeCounters, IntakeSettings};
use ddpo_proto::stream::Destination;
use ddpo_proto::uplink::{Uplink, UplinkSettings};
use ddpo_service::host::Host;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::service::RoutesBuilder;

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["model", "learner"];

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
        standing: Standing::of(&host),
        uplink: uplink.clone(),
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

fn model(settings: &RewarderSettings) -> Result<Box<dyn RewardModel>> {
    if settings.fake_reward {
        return Ok(Box::new(MeanLevel));
    }
    let task: Task = settings.reward_task.parse().context("rewarder.reward_task")?;
    let options = settings.reward_options()?;
    Ok(reward_for(task, &options, &mut |line| tracing::info!("{line}"))?)
}

fn uplink(host: &Host, settings: &RewarderSettings) -> Result<Uplink> {
    let own = link::uplink_settings(host, Destination::Learner, &settings.learners)
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
    standing: Standing,
    uplink: Uplink,
    relay: Arc<RelayCounters>,
    intake: Arc<IntakeCounters>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let own = counts::named([
            ("trajectories_scored", &self.relay.scored),
            ("trajectories_refused", &self.relay.refused),
            ("receipts_passed_back", &self.relay.answered),
        ]);
        let received = counts::of_intake(&self.intake);
        let sent = counts::of_uplink(self.uplink.counters());
        own.into_iter().chain(received).chain(sent).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let activity = if self.standing.is_draining() { "draining" } else { "scoring" };
        Status { counters: self.counts(), ..self.standing.status("rewarder", activity) }
    }
}
