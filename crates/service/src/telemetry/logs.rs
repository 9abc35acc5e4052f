//! Logs: filter, format and destination.

use crate::settings::LogFormat;
use crate::telemetry::settings::TelemetryError;
use crate::telemetry::traces::TraceLayer;
use std::io::IsTerminal;
use tracing::Dispatch;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// Silences the exporter's messages: [`Reporter`](super::export::Reporter) reports a failure once,
/// the SDK at every export. The user's filter can enable them.
const QUIET: &str = "opentelemetry=off";

pub(super) fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let refused = |reason: String| TelemetryError::Filter { filter: text.into(), reason };
    let filter = EnvFilter::builder().parse(format!("{QUIET},{text}"));
    filter.map_err(|error| refused(error.to_string()))
}

pub(super) fn dispatch(
    format: LogFormat,
    filter: EnvFilter,
    writer: BoxMakeWriter,
    traces: Option<TraceLayer>,
) -> Dispatch {
    // The layer would report a failed write with `eprintln!`, which panics when standard error is closed.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // The types fix the order: the trace layer supports only the bare registry.
    Dispatch::new(Registry::default().with(traces).with(lines.with_filter(filter)))
}
