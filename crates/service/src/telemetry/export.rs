//! What becomes of exports: the first failure is reported, all are counted.

use crate::metrics::Metrics;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

/// Reports the first failure of an export.
pub(super) struct Reporter {
    endpoint: String,
    reported: AtomicBool,
    metrics: Metrics,
    logs: OnceLock<WeakDispatch>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("reported", &self.reported).finish_non_exhaustive()
    }
}

impl Reporter {
    pub(super) fn new(endpoint: &str, metrics: &Metrics) -> Self {
        let (endpoint, metrics) = (endpoint.to_owned(), metrics.clone());
        Self { endpoint, reported: AtomicBool::new(false), metrics, logs: OnceLock::new() }
    }

    /// Names the logs that it reports to: an export can fail before they are the process's. The
    /// reporter is itself a part of them, and so must not keep them alive.
    pub(super) fn report_to(&self, logs: &Dispatch) {
        // The first naming holds; there is only one.
        let _ = self.logs.set(logs.downgrade());
    }

    pub(super) fn failed(&self, what: &str, error: &dyn fmt::Display) {
        self.metrics.errors.inc(["telemetry"]);
        if self.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(logs) = self.logs.get().and_then(WeakDispatch::upgrade) {
            dispatcher::with_default(&logs, || {
                tracing::warn!(
                    endpoint = self.endpoint, what, %error,
                    "export failed; later failures are only counted"
                );
            });
        }
    }
}
