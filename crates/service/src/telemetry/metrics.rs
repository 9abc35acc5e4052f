//! Exports metrics over OTLP at a fixed interval.

use crate::telemetry::export::{EXPORT_DEADLINE, Reporter};
use crate::telemetry::settings::TelemetryError;
use opentelemetry_otlp::{MetricExporter as OtlpExporter, RetryPolicy, WithTonicConfig};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::transport::Channel;

/// Time between exports.
const INTERVAL: Duration = Duration::from_secs(15);

/// The reader that exports.
pub(super) type Exports = PeriodicReader<BoundedExporter>;

/// Returns a reader that exports to the collector at `channel`.
pub(super) fn reader(
    channel: Channel,
    reporter: Arc<Reporter>,
    runtime: Handle,
) -> Result<Exports, TelemetryError> {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let exporter = BoundedExporter { inner: exporter, reporter, runtime };
    Ok(PeriodicReader::builder(exporter).with_interval(INTERVAL).build())
}

/// The OTLP exporter with a deadline. The SDK polls it on a separate thread.
#[derive(Debug)]
pub(super) struct BoundedExporter {
    inner: OtlpExporter,
    reporter: Arc<Reporter>,
    runtime: Handle,
}

impl PushMetricExporter for BoundedExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let export = {
            // The timer belongs to the runtime.
            let _entered = self.runtime.enter();
            timeout(EXPORT_DEADLINE, self.inner.export(metrics))
        };
        let result = export.await.unwrap_or(Err(OTelSdkError::Timeout(EXPORT_DEADLINE)));
        self.reporter.observe("metrics", &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
