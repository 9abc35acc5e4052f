//! Common parts of trace and metric exports: deadline, resource, and failure reports.

use crate::metrics::Counters;
use crate::telemetry::settings::TelemetrySettings;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::Dispatch;
use tracing::dispatcher::{self, WeakDispatch};

/// Longest time of one export.
pub(super) const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// Returns the process attributes that all traces and metrics carry. Those of the settings take precedence
/// over `OTEL_RESOURCE_ATTRIBUTES`; the program's name is only a default.
pub(super) fn resource(settings: &TelemetrySettings) -> Resource {
    let variables = &settings.variables;
    let name = variables.service_name.clone().unwrap_or_else(|| settings.service.to_owned());
    let given = variables.attributes.iter().map(|(key, value)| (key.clone(), value.clone()));
    let given = given.map(|(key, value)| KeyValue::new(key, value));
    let attributes = [
        ("service.name", name),
        ("service.version", settings.version.to_owned()),
        ("service.instance.id", settings.worker_id.clone()),
        ("ddpo.run_id", settings.run_id.clone()),
    ];
    let attributes = attributes.map(|(key, value)| KeyValue::new(key, value));
    Resource::builder_empty().with_attributes(given).with_attributes(attributes).build()
}

/// Logs the first failed export and counts all.
pub(super) struct Reporter {
    endpoint: String,
    reported: AtomicBool,
    sinks: OnceLock<(WeakDispatch, Counters<1>)>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("reported", &self.reported).finish_non_exhaustive()
    }
}

impl Reporter {
    pub(super) fn new(endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        Self { endpoint, reported: AtomicBool::new(false), sinks: OnceLock::new() }
    }

    /// Sets the log and the counter. Both are built after the reporter, because their exporters
    /// hold it; therefore it must not keep the log alive.
    pub(super) fn report_to(&self, logs: &Dispatch, errors: Counters<1>) {
        // Called once only.
        let _ = self.sinks.set((logs.downgrade(), errors));
    }

    /// Reports `result` of an export of `what`, if it is an error.
    pub(super) fn observe(&self, what: &str, result: &OTelSdkResult) {
        let (Err(error), Some((logs, errors))) = (result, self.sinks.get()) else { return };
        errors.inc(["telemetry"]);
        if self.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(logs) = logs.upgrade() {
            dispatcher::with_default(&logs, || {
                tracing::warn!(
                    endpoint = self.endpoint, what, %error,
                    "export failed; later failures are only counted"
                );
            });
        }
    }
}
