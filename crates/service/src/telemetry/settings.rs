//! Settings of telemetry, and their errors.

use crate::auth::AuthError;
use crate::identity::Worker;
use crate::settings::{LogFormat, ServiceSettings};
use crate::telemetry::variables::Variables;
use opentelemetry_sdk::error::OTelSdkError;
use std::path::PathBuf;
use thiserror::Error;
use tokio::runtime::TryCurrentError;

/// Settings of logs, traces and metrics.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Name of the service: `ddpo-sampler`.
    pub service: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Name of this worker.
    pub worker_id: String,
    /// Name of the run.
    pub run_id: String,
    /// Format of the logs.
    pub log_format: LogFormat,
    /// Filter of the logs.
    pub log_filter: String,
    /// Address of the collector; without it nothing is exported.
    pub otlp_endpoint: Option<String>,
    /// CA certificates of a collector at `https://`.
    pub tls_ca: Option<PathBuf>,
    /// OpenTelemetry's environment variables.
    pub variables: Variables,
}

impl TelemetrySettings {
    /// Takes the settings from the table `[service]` and OpenTelemetry's variables.
    pub fn new(
        service: &'static str,
        version: &'static str,
        settings: &ServiceSettings,
        worker: &Worker,
    ) -> Self {
        Self {
            service,
            version,
            worker_id: worker.id.clone(),
            run_id: settings.run_id.clone(),
            log_format: settings.log_format,
            log_filter: settings.log_filter.clone(),
            otlp_endpoint: settings.otlp_endpoint.clone(),
            tls_ca: settings.tls_ca.clone(),
            variables: Variables::of_process(),
        }
    }
}

/// Errors from starting telemetry.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed.
    #[error("log_filter = {filter:?}: {reason}; hint: info,ddpo_sampler=debug is one")]
    Filter {
        /// The filter.
        filter: String,
        /// The reason.
        reason: String,
    },
    /// The collector's address or CA certificates are not valid.
    #[error("otlp_endpoint: {0}")]
    Endpoint(#[from] AuthError),
    /// The exporter cannot be built.
    #[error("otlp_endpoint: {0}")]
    Exporter(String),
    /// Exports need timers and sockets: a programming error.
    #[error("otlp_endpoint: exports need the tokio runtime")]
    Runtime(#[from] TryCurrentError),
    /// The metrics cannot be created: a programming error.
    #[error("metrics: {0}")]
    Metrics(#[from] OTelSdkError),
    /// The process already has a logger.
    #[error("telemetry has been started before")]
    Started,
}
