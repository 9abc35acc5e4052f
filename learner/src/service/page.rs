//! Serves the live page of the run, if the settings ask for one.

use crate::service::settings::LearnerSettings;
use anyhow::Result;
use ddpo_broadcast::remote::RedisBroadcast;
use ddpo_broadcast::weights::WorkerReport;
use ddpo_dashboard::fleet::{Fleet, Member};
use ddpo_dashboard::peers::Peers;
use ddpo_dashboard::{Dashboard, Served};
use ddpo_delivery::intake::IntakeCounters;
use ddpo_inspector::board::Board;
use ddpo_service::auth::ServerAuthSettings;
use ddpo_service::host::Host;
use ddpo_service::inspector::StatusSource;
use futures::future::{BoxFuture, FutureExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A sampler reports every few seconds; after this silence it counts as failed.
const SILENT: Duration = Duration::from_secs(30);

/// The sources of what the page shows.
pub struct PageSources<S> {
    /// The run's folder.
    pub folder: PathBuf,
    /// The trajectories in flight.
    pub board: Board,
    /// The status of the learner.
    pub source: S,
    /// The counters of the rewarders' streams.
    pub intake: Arc<IntakeCounters>,
    /// Redis, where samplers report; set once it is reached.
    pub store: Arc<OnceLock<Arc<RedisBroadcast>>>,
}

/// Serves the live page until the host closes, if the settings ask for one.
///
/// # Errors
/// Auth settings that do not allow this address, a port in use, or a peer address that is not
/// valid.
pub async fn serve<S: StatusSource>(
    host: &Host,
    learner_settings: &LearnerSettings,
    sources: PageSources<S>,
) -> Result<Option<Served>> {
    let Some(listen) = learner_settings.dashboard_listen else { return Ok(None) };
    let settings = ServerAuthSettings {
        setting: "dashboard_listen",
        listen,
        ..ServerAuthSettings::from(&host.settings)
    };
    let dashboard = Dashboard {
        auth: settings.open_web()?,
        folder: sources.folder.clone(),
        board: sources.board.clone(),
        peers: Peers::new(learner_settings.dashboard_watch.clone(), host.client_auth.clone())?,
        fleet: Arc::new(sources),
    };
    let served = dashboard.serve(host.closing.clone()).await?;
    tracing::info!(address = %served.address, "the live page is served");
    Ok(Some(served))
}

impl<S: StatusSource> Fleet for PageSources<S> {
    fn members(&self) -> BoxFuture<'_, Vec<Member>> {
        async {
            let mut members = vec![self.learner(), self.rewarders()];
            if let Some(store) = self.store.get() {
                // Without Redis the samplers are left out; the learner's row shows the failure.
                let reports = store.workers().await.unwrap_or_default();
                members.extend(reports.iter().map(sampler));
            }
            members
        }
        .boxed()
    }
}

impl<S: StatusSource> PageSources<S> {
    fn learner(&self) -> Member {
        let status = self.source.status();
        Member {
            role: status.service.to_owned(),
            name: status.worker_id,
            well: status.serving,
            doing: status.activity,
            version: status.weights.map(|(version, _)| version.0),
            lag: None,
            in_flight: Some(self.board.in_flight() as u64),
        }
    }

    /// Counts the rewarders' streams; a stream does not name its sender.
    fn rewarders(&self) -> Member {
        let streams = self.intake.streams.load(Ordering::Relaxed);
        let doing = match streams {
            0 => "none is connected".to_owned(),
            1 => "one is connected".to_owned(),
            more => format!("{more} are connected"),
        };
        Member { role: "rewarder".into(), well: streams > 0, doing, ..Member::default() }
    }
}

fn sampler(report: &WorkerReport) -> Member {
    let well = report.silent_for < SILENT;
    let doing = match well {
        true => "draws".to_owned(),
        false => format!("silent for {} s", report.silent_for.as_secs()),
    };
    let version = Some(report.version.0);
    Member {
        role: "sampler".into(),
        name: report.worker.clone(),
        well,
        doing,
        version,
        ..Member::default()
    }
}
