//! Families of metrics whose number of labels is part of the type: a call with too few labels does
//! not compile, where Prometheus' own would panic.
//!
//! Label values are words from a short list (stages, verdicts, peers), never ids: each combination
//! is kept for the life of the process.

use prometheus::core::Collector;
use prometheus::{
    Error, GaugeVec, HistogramOpts, HistogramTimer, HistogramVec, IntCounterVec, Opts, Registry,
};

/// Counters with `N` labels.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize>(IntCounterVec);

/// Gauges with `N` labels.
#[derive(Clone, Debug)]
pub struct Gauges<const N: usize>(GaugeVec);

/// Histograms with `N` labels.
#[derive(Clone, Debug)]
pub struct Histograms<const N: usize>(HistogramVec);

/// Observes the seconds from its making to its end.
#[must_use = "it observes when it is dropped"]
pub struct Timer {
    // The number of labels is right, so that there always is one; it ends by being dropped.
    _running: Option<HistogramTimer>,
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, family: T) -> Result<T, Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

impl<const N: usize> Counters<N> {
    pub(super) fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Self, Error> {
        let family = IntCounterVec::new(Opts::new(name, help), &labels)?;
        registered(registry, family).map(Self)
    }

    /// Counts one more.
    pub fn inc(&self, labels: [&str; N]) {
        self.add(labels, 1);
    }

    /// Counts `more`.
    pub fn add(&self, labels: [&str; N], more: u64) {
        if let Ok(counter) = self.0.get_metric_with_label_values(&labels) {
            counter.inc_by(more);
        }
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self, labels: [&str; N]) -> u64 {
        self.0.get_metric_with_label_values(&labels).map_or(0, |counter| counter.get())
    }
}

impl<const N: usize> Gauges<N> {
    pub(super) fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Self, Error> {
        let family = GaugeVec::new(Opts::new(name, help), &labels)?;
        registered(registry, family).map(Self)
    }

    /// Sets the gauge.
    pub fn set(&self, labels: [&str; N], value: f64) {
        if let Ok(gauge) = self.0.get_metric_with_label_values(&labels) {
            gauge.set(value);
        }
    }

    /// Adds to the gauge, or takes from it.
    pub fn add(&self, labels: [&str; N], more: f64) {
        if let Ok(gauge) = self.0.get_metric_with_label_values(&labels) {
            gauge.add(more);
        }
    }

    /// The value; 0 before it is set.
    #[must_use]
    pub fn get(&self, labels: [&str; N]) -> f64 {
        self.0.get_metric_with_label_values(&labels).map_or(0.0, |gauge| gauge.get())
    }
}

impl<const N: usize> Histograms<N> {
    pub(super) fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: [&str; N],
        buckets: &[f64],
    ) -> Result<Self, Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        registered(registry, HistogramVec::new(options, &labels)?).map(Self)
    }

    /// Observes a value.
    pub fn observe(&self, labels: [&str; N], value: f64) {
        if let Ok(histogram) = self.0.get_metric_with_label_values(&labels) {
            histogram.observe(value);
        }
    }

    /// Observes the seconds until the timer is dropped.
    pub fn time(&self, labels: [&str; N]) -> Timer {
        let histogram = self.0.get_metric_with_label_values(&labels);
        Timer { _running: histogram.ok().map(|histogram| histogram.start_timer()) }
    }
}
