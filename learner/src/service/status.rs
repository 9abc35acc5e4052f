//! The status that the service shows.

use crate::service::arrivals::Arrivals;
use crate::service::remote::Reached;
use ddpo_delivery::intake::IntakeCounters;
use ddpo_diffusion::device;
use ddpo_service::counts;
use ddpo_service::inspector::{ServiceInfo, Status, StatusSource};
use ddpo_service::metrics::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the status comes from.
#[derive(Clone)]
pub struct Source {
    pub(super) info: ServiceInfo,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) intake: Arc<IntakeCounters>,
    pub(super) reached: watch::Receiver<Reached>,
}

impl Source {
    fn counts(&self) -> BTreeMap<String, u64> {
        let decided = self.arrivals.counts();
        let decided = [
            ("trajectories_accepted", decided.accepted),
            ("trajectories_duplicate", decided.duplicate),
            ("trajectories_stale", decided.stale),
            ("trajectories_invalid", decided.invalid),
        ];
        let decided = decided.map(|(name, count)| (name.to_owned(), count));
        counts::of_intake(&self.intake).into_iter().chain(decided).collect()
    }
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        let Reached { epoch, weights } = *self.reached.borrow();
        let activity = match epoch {
            Some(epoch) => format!("epoch {epoch}"),
            None => "opening the run".to_owned(),
        };
        let counters = self.counts();
        Status { weights, epoch, counters, ..self.info.status("learner", &activity) }
    }

    fn measure(&self, metrics: &Metrics) {
        let (awaited, held) = self.arrivals.waiting();
        metrics.queue_depth.set(["awaited"], awaited as f64);
        metrics.queue_depth.set(["held"], held as f64);
        metrics.devices(device::memory());
    }
}
