//! Logs on standard error, and traces and metrics over OTLP if a collector is set.
//!
//! If the collector is unreachable, exports are dropped; the service is not affected. Exports run
//! in the background with a deadline and a bounded queue, and only the first failure is logged.

pub mod context;
mod export;
mod logs;
mod metrics;
mod settings;
mod traces;
mod variables;

pub use settings::{TelemetryError, TelemetrySettings};
pub use variables::Variables;

use crate::auth::{AuthError, ClientAuthSettings};
use crate::metrics::Metrics;
use crate::telemetry::export::{EXPORT_DEADLINE, Reporter, resource};
use crate::telemetry::metrics::Exports;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::transport::Channel;
use tracing::Dispatch;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Running telemetry; [`shutdown`](Self::shutdown) flushes it.
#[derive(Debug)]
pub struct Telemetry {
    /// The metrics of the process.
    pub metrics: Metrics,
    exports: Option<Exports>,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts logging to standard error, and exporting. Call it once, inside the tokio runtime.
    ///
    /// # Errors
    /// An invalid filter or collector address, or telemetry that is already started.
    pub fn start(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let writer = BoxMakeWriter::new(std::io::stderr);
        let (dispatch, telemetry) = Self::build(settings, writer)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Started)?;
        Ok(telemetry)
    }

    /// Does the same as [`start`](Self::start), but writes logs to `writer` and does not install
    /// the subscriber.
    ///
    /// # Errors
    /// An invalid filter or collector address.
    pub fn build(
        settings: &TelemetrySettings,
        writer: BoxMakeWriter,
    ) -> Result<(Dispatch, Self), TelemetryError> {
        let log_filter = logs::filter(&settings.log_filter)?;
        let format = settings.log_format;
        let collector = settings.otlp_endpoint.as_ref().filter(|_| !settings.variables.disabled);
        let (dispatch, telemetry) = if let Some(endpoint) = collector {
            let runtime = Handle::try_current()?;
            let channel = channel(endpoint, settings.tls_ca.clone())?;
            let reporter = Arc::new(Reporter::new(endpoint));
            let exports = metrics::reader(channel.clone(), Arc::clone(&reporter), runtime.clone())?;
            let provider = SdkMeterProvider::builder().with_resource(resource(settings));
            let metrics = Metrics::build(provider.with_reader(exports.clone()))?;
            let traces = traces::provider(settings, channel, Arc::clone(&reporter), runtime)?;
            let layer = Some(traces::layer(&traces));
            let dispatch = logs::dispatch(format, log_filter, writer, layer);
            reporter.report_to(&dispatch, metrics.errors.clone());
            (dispatch, Self { metrics, exports: Some(exports), traces: Some(traces) })
        } else {
            let dispatch = logs::dispatch(format, log_filter, writer, None);
            (dispatch, Self { metrics: Metrics::new()?, exports: None, traces: None })
        };
        telemetry.metrics.build.set([settings.service, settings.version], 1.0);
        tracing::dispatcher::with_default(&dispatch, || {
            for reason in &settings.variables.ignored {
                tracing::warn!("ignored a variable of OpenTelemetry: {reason}");
            }
        });
        Ok((dispatch, telemetry))
    }

    /// Exports what is pending, for at most `deadline`. The runtime must be alive until this
    /// returns.
    pub async fn shutdown(self, deadline: Duration) {
        // The exporters have reported failures.
        let metrics = move || drop(self.exports.map(|reader| reader.shutdown()));
        let traces =
            move || drop(self.traces.map(|provider| provider.shutdown_with_timeout(deadline)));
        tokio::join!(within(deadline, metrics), within(deadline, traces));
    }
}

/// Waits for `flush` for at most `deadline`. Uses a plain thread, because the runtime does not wait
/// for it at its end.
async fn within(deadline: Duration, flush: impl FnOnce() + Send + 'static) {
    let (done, ended) = oneshot::channel();
    std::thread::spawn(move || {
        flush();
        // After the deadline the receiver is gone.
        let _ = done.send(());
    });
    let _ = timeout(deadline, ended).await;
}

/// Returns a channel to the collector, which connects at the first export.
fn channel(endpoint: &str, tls_ca: Option<PathBuf>) -> Result<Channel, AuthError> {
    let tls_ca = tls_ca.filter(|_| endpoint.starts_with("https:"));
    let key = ClientAuthSettings { tls_ca, ..ClientAuthSettings::default() }.open()?;
    Ok(key.endpoint(endpoint)?.timeout(EXPORT_DEADLINE).connect_lazy())
}
