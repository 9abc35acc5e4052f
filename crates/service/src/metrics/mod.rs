//! Metrics: OpenTelemetry instruments, exported as Prometheus text and over OTLP.

mod family;
mod names;

pub use family::{Counters, Family, Gauges, Histograms, Timer};
pub use names::Families;

use crate::memory::resident_bytes;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The content type of [`Metrics::text`].
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// The metrics of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Arc<Families>,
    registry: Registry,
    /// Owns the readers.
    _provider: SdkMeterProvider,
}

impl Metrics {
    /// Creates all metrics, for reading as text.
    ///
    /// # Errors
    /// The Prometheus reader cannot be registered: a programming error.
    pub fn new() -> Result<Self, OTelSdkError> {
        Self::build(SdkMeterProvider::builder())
    }

    /// Creates all metrics, for reading as text and by the readers of `provider`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn build(provider: MeterProviderBuilder) -> Result<Self, OTelSdkError> {
        let registry = Registry::new();
        // The names in `names.rs` are final, and a scrape does not include the resource.
        let text = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build()?;
        let provider = provider.with_reader(text).build();
        let families = Families::new(&provider.meter("ddpo"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        families.start_time.set([], now.as_secs_f64());
        Ok(Self { families: Arc::new(families), registry, _provider: provider })
    }

    /// Returns all metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Errors of the encoder: a family without a name or a metric.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sets the memory of the process.
    pub fn process(&self) {
        if let Some(bytes) = resident_bytes() {
            self.memory_bytes.set(["resident"], bytes as f64);
        }
    }

    /// Sets the memory of devices: name, bytes of tensors, reserved bytes.
    pub fn devices(&self, devices: impl IntoIterator<Item = (String, u64, u64)>) {
        for (name, allocated, reserved) in devices {
            self.memory_bytes.set([&name], allocated as f64);
            self.memory_bytes.set([&format!("{name} reserved")], reserved as f64);
        }
    }
}

impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::proto::MetricType;

    #[test]
    fn text_contains_exactly_the_declared_names_and_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.trajectories.add(["receive", "accepted"], 3);
        metrics.trajectories.inc(["receive", "accepted"]);
        metrics.errors.add(["store"], 0);
        metrics.epoch.set([], 7.0);
        metrics.batch_samples.observe(["score"], 2.0);
        metrics.batch_samples.observe(["score"], 300.0);
        let text = metrics.text().unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("ddpo_start_time_seconds "))
            .collect();
        assert_eq!(
            lines,
            [
                r#"ddpo_batch_samples_bucket{stage="score",le="1"} 0"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="2"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="4"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="8"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="16"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="32"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="64"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="128"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="256"} 1"#,
                r#"ddpo_batch_samples_bucket{stage="score",le="+Inf"} 2"#,
                r#"ddpo_batch_samples_sum{stage="score"} 302"#,
                r#"ddpo_batch_samples_count{stage="score"} 2"#,
                "ddpo_epoch 7",
                r#"ddpo_errors_total{stage="store"} 0"#,
                r#"ddpo_trajectories_total{stage="receive",verdict="accepted"} 4"#,
            ]
        );
    }

    #[test]
    fn every_family_has_the_prefix_and_a_help_text() {
        let metrics = Metrics::new().unwrap();
        metrics.touch();
        let families = metrics.registry.gather();
        assert!(families.len() >= 20, "{}", families.len());
        for family in families {
            assert!(family.name().starts_with("ddpo_"), "{}", family.name());
            assert!(family.help().ends_with(|c: char| c.is_alphanumeric() || c == ')'));
            let counter = family.get_field_type() == MetricType::COUNTER;
            assert_eq!(family.name().ends_with("_total"), counter, "{}", family.name());
        }
    }

    #[test]
    fn gauges_keep_their_values_between_scrapes() {
        let metrics = Metrics::new().unwrap();
        metrics.epoch.set([], 7.0);
        let scrape = || metrics.text().unwrap();
        assert_eq!(scrape(), scrape());
    }

    #[test]
    fn measures_the_memory_of_the_process() {
        let metrics = Metrics::new().unwrap();
        metrics.process();
        let text = metrics.text().unwrap();
        let line = text.lines().find(|line| line.starts_with("ddpo_memory_bytes{")).unwrap();
        let bytes: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(bytes > 1e5, "{line}");
    }

    #[test]
    fn timer_records_once_on_drop() {
        let metrics = Metrics::new().unwrap();
        drop(metrics.stage_seconds.time(["draw"]));
        let text = metrics.text().unwrap();
        assert!(text.contains("ddpo_stage_seconds_count{stage=\"draw\"} 1"), "{text}");
    }
}
