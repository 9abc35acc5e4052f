//! The status of a service.

use crate::health::Health;
use crate::identity::Worker;
use crate::metrics::Metrics;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use std::collections::BTreeMap;

/// The status of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// sampler, rewarder or learner.
    pub service: &'static str,
    /// Name of this process.
    pub worker_id: String,
    /// Start of the process, in milliseconds since 1970.
    pub incarnation: u64,
    /// Id of the run.
    pub run_id: String,
    /// Whether it accepts work.
    pub serving: bool,
    /// Current activity, or why the service is not serving.
    pub activity: String,
    /// Version and digest of the loaded weights.
    pub weights: Option<(PolicyVersion, Digest)>,
    /// Current epoch, from 0.
    pub epoch: Option<u32>,
    /// Counters since the start, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Reports the status of a service.
pub trait StatusSource: Send + Sync + 'static {
    /// Returns the current status.
    fn status(&self) -> Status;

    /// Sets metrics that only the service can read; called once a second.
    fn measure(&self, _metrics: &Metrics) {}
}

/// The part of the status that all services have.
#[derive(Clone, Debug)]
pub struct ServiceInfo {
    worker: Worker,
    run_id: String,
    health: Health,
}

impl ServiceInfo {
    /// Creates the status information of process `worker` in run `run_id`.
    pub fn new(worker: Worker, run_id: String, health: Health) -> Self {
        Self { worker, run_id, health }
    }

    /// Returns whether the service is draining.
    pub fn is_draining(&self) -> bool {
        self.health.report().draining
    }

    /// Returns the status of `service`, with `activity` or the first unmet condition.
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
