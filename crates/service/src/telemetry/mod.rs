//! What a service tells about itself: logs on standard error, and, where a collector is named,
//! traces and metrics over OTLP.
//!
//! A collector that cannot be reached never holds anything up: exports run beside the work with a
//! deadline, their queue is bounded, and the first failure is reported once.

pub mod context;
mod export;
mod logs;
mod otlp_metrics;
mod traces;

use crate::doors::{ClientDoor, DoorError};
use crate::identity::Worker;
use crate::metrics::Metrics;
use crate::settings::{LogFormat, ServiceSettings};
use crate::telemetry::export::Reporter;
use crate::telemetry::otlp_metrics::MetricsExport;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Handle, TryCurrentError};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tracing::Dispatch;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Longest time that one export may take.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// What is told, and to whom.
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
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which logs are written.
    pub log_filter: String,
    /// The collector; no export without it.
    pub otlp_endpoint: Option<String>,
    /// The authorities of a collector at `https://`.
    pub tls_ca: Option<PathBuf>,
}

impl TelemetrySettings {
    /// What the table `[service]` says.
    #[must_use]
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
        }
    }
}

/// Why telemetry cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("log_filter = {filter:?}: {reason}; hint: info,ddpo_sampler=debug is one")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The collector's address or authorities cannot be used.
    #[error("otlp_endpoint: {0}")]
    Endpoint(#[from] DoorError),
    /// The exporter cannot be built.
    #[error("otlp_endpoint: {0}")]
    Exporter(String),
    /// Exports need timers and sockets: an error of the program.
    #[error("otlp_endpoint: exports need the tokio runtime")]
    Runtime(#[from] TryCurrentError),
    /// The process logs already.
    #[error("telemetry has been started before")]
    Started,
}

/// Running telemetry; it is flushed by [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<MetricsExport>,
}

impl Telemetry {
    /// Starts logging to standard error, and exporting. Called once, inside the tokio runtime.
    ///
    /// # Errors
    /// A filter or a collector's address that is none, or a second start.
    pub fn start(settings: &TelemetrySettings, metrics: &Metrics) -> Result<Self, TelemetryError> {
        let writer = BoxMakeWriter::new(std::io::stderr);
        let (dispatch, telemetry) = Self::build(settings, metrics, writer)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Started)?;
        Ok(telemetry)
    }

    /// The same, writing logs to `writer` and leaving the process's subscriber as it is.
    ///
    /// # Errors
    /// A filter or a collector's address that is none.
    pub fn build(
        settings: &TelemetrySettings,
        metrics: &Metrics,
        writer: BoxMakeWriter,
    ) -> Result<(Dispatch, Self), TelemetryError> {
        let log_filter = logs::filter(&settings.log_filter)?;
        metrics.build.set([settings.service, settings.version], 1.0);
        let Some(endpoint) = &settings.otlp_endpoint else {
            let dispatch = logs::dispatch(settings.log_format, log_filter, writer, None);
            return Ok((dispatch, Self { traces: None, metrics: None }));
        };
        let runtime = Handle::try_current()?;
        let channel = channel(endpoint, settings.tls_ca.clone())?;
        let reporter = Arc::new(Reporter::new(endpoint, metrics));
        let provider = traces::provider(settings, channel.clone(), reporter.clone(), runtime)?;
        let traces = Some(traces::layer(&provider));
        let dispatch = logs::dispatch(settings.log_format, log_filter, writer, traces);
        reporter.report_to(&dispatch);
        let export = MetricsExport::start(settings, channel, reporter, metrics);
        Ok((dispatch, Self { traces: Some(provider), metrics: Some(export) }))
    }

    /// Sends what has not been sent, for at most `deadline`. The runtime has to be alive until
    /// this returns.
    pub async fn shutdown(self, deadline: Duration) {
        let until = Instant::now() + deadline;
        let traces = async {
            if let Some(provider) = self.traces {
                let flush = move || provider.shutdown_with_timeout(deadline);
                // A failed export has been reported; there is nothing left to be done about it.
                let _ = timeout_at(until, tokio::task::spawn_blocking(flush)).await;
            }
        };
        let metrics = async {
            if let Some(export) = self.metrics {
                export.finish(until).await;
            }
        };
        tokio::join!(traces, metrics);
    }
}

/// A channel to the collector, which connects when the first export needs it.
fn channel(endpoint: &str, tls_ca: Option<PathBuf>) -> Result<Channel, DoorError> {
    let tls_ca = tls_ca.filter(|_| endpoint.starts_with("https:"));
    let key = ClientDoor { tls_ca, ..ClientDoor::default() }.open()?;
    Ok(key.endpoint(endpoint)?.timeout(EXPORT_DEADLINE).connect_lazy())
}
