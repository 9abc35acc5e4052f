//! Exports traces over OTLP.

use crate::telemetry::export::{EXPORT_DEADLINE, Reporter, resource};
use crate::telemetry::settings::{TelemetryError, TelemetrySettings};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{RetryPolicy, SpanExporter as OtlpExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

/// The layer that exports spans.
pub(super) type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Largest number of spans waiting for export; more are dropped. The trajectories of an epoch
/// arrive in bursts that overflow the SDK's default of 2048.
const QUEUE: usize = 16_384;

/// Crates of the transport. Their spans are not exported: exporting causes more calls and thus more
/// spans.
const TRANSPORT: [&str; 8] =
    ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls", "tokio", "tokio_util"];

pub(super) fn layer(provider: &SdkTracerProvider) -> TraceLayer {
    let filter = FilterFn::new(is_ours).with_max_level_hint(LevelFilter::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("ddpo"));
    layer.with_filter(filter).boxed()
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO
        && !TRANSPORT.contains(&root)
        && !root.starts_with("opentelemetry")
}

pub(super) fn provider(
    settings: &TelemetrySettings,
    channel: Channel,
    reporter: Arc<Reporter>,
    runtime: Handle,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let exporter = BoundedExporter { inner: Arc::new(exporter), reporter, runtime };
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let provider = SdkTracerProvider::builder().with_resource(resource(settings));
    Ok(provider.with_span_processor(processor).build())
}

/// The OTLP exporter with a deadline. It runs on the runtime, which has timers, while the SDK's
/// thread waits.
#[derive(Debug)]
struct BoundedExporter {
    inner: Arc<OtlpExporter>,
    reporter: Arc<Reporter>,
    runtime: Handle,
}

impl SpanExporter for BoundedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (inner, reporter) = (self.inner.clone(), self.reporter.clone());
        let export = self.runtime.spawn(async move {
            let export = tokio::time::timeout(EXPORT_DEADLINE, inner.export(batch)).await;
            let result = export.unwrap_or(Err(OTelSdkError::Timeout(EXPORT_DEADLINE)));
            reporter.observe("traces", &result);
            result
        });
        export.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}
