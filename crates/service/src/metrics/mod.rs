//! Counts and measures: one registry a process, read by Prometheus, by OTLP and by the Inspector.

mod family;
mod names;

pub use family::{Counters, Gauges, Histograms, Timer};
pub use names::{Families, Metrics};

use crate::memory::resident_bytes;
use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use std::collections::BTreeMap;

/// The format of [`Metrics::text`], as a content type.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

impl Metrics {
    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// The encoder's own: a family without a name or a metric.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.gather())
    }

    /// Everything, as Prometheus has it.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident_bytes() {
            self.memory_bytes.set(["resident"], bytes as f64);
        }
        self.registry().gather()
    }

    /// Notes the memory of devices: their names, bytes that tensors take, bytes that are reserved.
    pub fn devices(&self, devices: impl IntoIterator<Item = (String, u64, u64)>) {
        for (name, allocated, reserved) in devices {
            self.memory_bytes.set([&name], allocated as f64);
            self.memory_bytes.set([&format!("{name} reserved")], reserved as f64);
        }
    }

    /// The counters, by name and labels: `ddpo_errors_total{stage="reward"}`.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let families = self.registry().gather();
        let counters = families.iter().filter(|f| f.get_field_type() == MetricType::COUNTER);
        let values = counters.flat_map(|family| {
            family.get_metric().iter().map(|metric| {
                let value = metric.get_counter().get_value();
                (labelled(family.name(), metric.get_label()), value as u64)
            })
        });
        values.collect()
    }
}

fn labelled(name: &str, labels: &[LabelPair]) -> String {
    let labels = labels.iter().map(|label| format!("{}={:?}", label.name(), label.value()));
    match labels.collect::<Vec<_>>().join(",") {
        none if none.is_empty() => name.to_owned(),
        labels => format!("{name}{{{labels}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name_and_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.trajectories.add(["receive", "accepted"], 3);
        metrics.reconnects.inc(["learner"]);
        metrics.epoch.set([], 7.0);
        let counters = metrics.counters();
        let name = r#"ddpo_trajectories_total{stage="receive",verdict="accepted"}"#;
        assert_eq!(counters.get(name), Some(&3));
        assert_eq!(counters.get(r#"ddpo_reconnects_total{peer="learner"}"#), Some(&1));
        assert_eq!(counters.len(), 2, "{counters:?}");
    }

    #[test]
    fn every_name_has_the_prefix_and_every_family_its_help() {
        let metrics = Metrics::new().unwrap();
        metrics.touch();
        let families = metrics.gather();
        assert!(families.len() >= 20, "{}", families.len());
        for family in families {
            assert!(family.name().starts_with("ddpo_"), "{}", family.name());
            assert!(family.help().ends_with(|c: char| c.is_alphanumeric() || c == ')'));
            let counter = family.get_field_type() == MetricType::COUNTER;
            assert_eq!(family.name().ends_with("_total"), counter, "{}", family.name());
        }
    }

    #[test]
    fn the_process_knows_its_memory() {
        let text = Metrics::new().unwrap().text().unwrap();
        let line = text.lines().find(|line| line.starts_with("ddpo_memory_bytes{")).unwrap();
        let bytes: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(bytes > 1e5, "{line}");
    }
}
