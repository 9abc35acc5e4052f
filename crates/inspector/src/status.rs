//! What a service tells of itself.

use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use ddpo_service::health::Health;
use ddpo_service::host::Host;
use ddpo_service::identity::Worker;
use ddpo_service::metrics::Metrics;
use std::collections::BTreeMap;

/// What a service is and how it fares now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// sampler, rewarder or learner.
    pub service: &'static str,
    /// Name of this process in the run.
    pub worker_id: String,
    /// Its start, in milliseconds since 1970.
    pub incarnation: u64,
    /// The run.
    pub run_id: String,
    /// Whether it takes work.
    pub serving: bool,
    /// What it is doing, or why it does not serve.
    pub activity: String,
    /// Its weights.
    pub weights: Option<(PolicyVersion, Digest)>,
    /// Epoch that it works on, from 0.
    pub epoch: Option<u32>,
    /// Counters since its start, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Tells the status when asked.
pub trait StatusSource: Send + Sync + 'static {
    /// The status now.
    fn status(&self) -> Status;

    /// Sets those metrics that only the service itself can read; called once a second.
    fn measure(&self, _metrics: &Metrics) {}
}

/// What all services' statuses have in common.
#[derive(Clone, Debug)]
pub struct Standing {
    worker: Worker,
    run_id: String,
    health: Health,
}

impl Standing {
    /// The standing of the service on `host`.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let (worker, run_id) = (host.worker.clone(), host.settings.run_id.clone());
        Self { worker, run_id, health: host.health.clone() }
    }

    /// Whether the service finishes what it has and takes nothing more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.health.report().draining
    }

    /// The status of `service`, which does `activity` unless a condition is not met, without what
    /// only the service itself knows.
    #[must_use]
    pub fn status(&self, service: &'static str, activity: &str) -> Status {
        let report = self.health.report();
        let unmet = report.conditions.iter().find(|condition| !condition.met);
        let unmet = unmet.map(|condition| format!("{}: {}", condition.name, condition.reason));
        Status {
            service,
            worker_id: self.worker.id.clone(),
            incarnation: self.worker.incarnation,
            run_id: self.run_id.clone(),
            serving: report.serving(),
            activity: unmet.unwrap_or_else(|| activity.to_owned()),
            ..Status::default()
        }
    }
}
