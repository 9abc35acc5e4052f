//! Health: named conditions, each met or not, with a reason.
//!
//! A service is serving when all conditions are met and it is not draining. gRPC health and /readyz
//! report the same state. Each change of a condition is logged once.

mod grpc;
mod report;

pub use grpc::HealthService;
pub use report::{Condition, Report};

use std::sync::Arc;
use tokio::sync::watch;
use tonic_health::pb::health_server::HealthServer;

/// A service's health. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<watch::Sender<Report>>,
}

/// The reason before the first update.
const UNSET: &str = "not yet";

impl Health {
    /// Creates the conditions, all unmet.
    pub fn new(conditions: &[&'static str]) -> Self {
        let unset = |name: &&'static str| Condition { name, met: false, reason: UNSET.into() };
        let conditions = conditions.iter().map(unset).collect();
        Self { state: Arc::new(watch::Sender::new(Report { conditions, draining: false })) }
    }

    /// Marks a condition as met.
    pub fn met(&self, name: &'static str, reason: impl Into<String>) {
        self.set(name, true, reason.into());
    }

    /// Marks a condition as not met.
    pub fn unmet(&self, name: &'static str, reason: impl Into<String>) {
        self.set(name, false, reason.into());
    }

    fn set(&self, name: &'static str, met: bool, reason: String) {
        let mut news = false;
        self.state.send_if_modified(|report| {
            let next = Condition { name, met, reason: reason.clone() };
            match report.conditions.iter_mut().find(|condition| condition.name == name) {
                Some(condition) if *condition == next => return false,
                Some(condition) => {
                    news = condition.met != met || condition.reason == UNSET;
                    *condition = next;
                }
                None => {
                    news = true;
                    report.conditions.push(next);
                }
            }
            true
        });
        if news && met {
            tracing::info!(condition = name, %reason, "condition met");
        } else if news {
            tracing::warn!(condition = name, %reason, "condition not met");
        }
    }

    /// Begins the drain: the service stops serving.
    pub fn drain(&self) {
        let changed = self.state.send_if_modified(|report| {
            let changed = !report.draining;
            report.draining = true;
            changed
        });
        if changed {
            tracing::info!("draining");
        }
    }

    /// Returns whether the service is serving.
    pub fn serving(&self) -> bool {
        self.state.borrow().serving()
    }

    /// Returns the current state.
    pub fn report(&self) -> Report {
        self.state.borrow().clone()
    }

    /// Returns a receiver of changes.
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.state.subscribe()
    }

    /// Returns grpc.health.v1 for these services (full names) and for the whole server.
    pub fn grpc(&self, services: &[&str]) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::new(self.watch(), services))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_when_all_conditions_are_met() {
        let health = Health::new(&["weights", "rewarder"]);
        assert!(!health.serving());
        health.met("weights", "version 3");
        assert!(!health.serving());
        health.met("rewarder", "connected");
        assert!(health.serving());
        health.unmet("weights", "no manifest");
        assert!(!health.serving());
        assert_eq!(health.report().conditions[0].reason, "no manifest");
    }

    #[test]
    fn does_not_serve_while_draining() {
        let health = Health::new(&[]);
        assert!(health.serving());
        health.drain();
        health.met("weights", "version 3");
        assert!(!health.serving());
    }

    #[test]
    fn watchers_wake_on_changes_only() {
        let health = Health::new(&["weights"]);
        let mut watch = health.watch();
        health.met("weights", "version 3");
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        health.met("weights", "version 3");
        assert!(!watch.has_changed().unwrap());
    }
}
