//! Families of metrics. The number of labels is part of the type, so a call with another number
//! does not compile.
//!
//! Label values come from a short list of words (stages, verdicts, peers) and are never ids: each
//! combination is kept for the life of the process.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use std::time::Instant;

/// A family of instruments `I` with `N` labels.
#[derive(Clone, Debug)]
pub struct Family<I, const N: usize> {
    instrument: I,
    labels: [&'static str; N],
}

/// Counters with `N` labels.
pub type Counters<const N: usize> = Family<Counter<u64>, N>;

/// Gauges with `N` labels. A value that is not finite leaves the previous one.
pub type Gauges<const N: usize> = Family<Gauge<f64>, N>;

/// Histograms with `N` labels.
pub type Histograms<const N: usize> = Family<Histogram<f64>, N>;

/// Records the seconds from its creation to its drop.
#[derive(Debug)]
#[must_use = "the time is recorded when the timer is dropped"]
pub struct Timer {
    began: Instant,
    histogram: Histogram<f64>,
    attributes: Vec<KeyValue>,
}

/// Name, help and label names of a family.
pub(super) struct Described<const N: usize> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; N],
}

impl<I, const N: usize> Family<I, N> {
    fn attributes(&self, values: [&str; N]) -> [KeyValue; N] {
        std::array::from_fn(|index| KeyValue::new(self.labels[index], values[index].to_owned()))
    }
}

impl<const N: usize> Counters<N> {
    pub(super) fn new(meter: &Meter, of: Described<N>) -> Self {
        let instrument = meter.u64_counter(of.name).with_description(of.help).build();
        Self { instrument, labels: of.labels }
    }

    /// Adds one.
    pub fn inc(&self, labels: [&str; N]) {
        self.add(labels, 1);
    }

    /// Adds `more`; 0 creates the counter.
    pub fn add(&self, labels: [&str; N], more: u64) {
        self.instrument.add(more, &self.attributes(labels));
    }
}

impl<const N: usize> Gauges<N> {
    pub(super) fn new(meter: &Meter, of: Described<N>) -> Self {
        let instrument = meter.f64_gauge(of.name).with_description(of.help).build();
        Self { instrument, labels: of.labels }
    }

    /// Sets the gauge.
    pub fn set(&self, labels: [&str; N], value: f64) {
        self.instrument.record(value, &self.attributes(labels));
    }
}

impl<const N: usize> Histograms<N> {
    pub(super) fn new(meter: &Meter, of: Described<N>, buckets: &[f64]) -> Self {
        let builder = meter.f64_histogram(of.name).with_description(of.help);
        let instrument = builder.with_boundaries(buckets.to_vec()).build();
        Self { instrument, labels: of.labels }
    }

    /// Records a value.
    pub fn observe(&self, labels: [&str; N], value: f64) {
        self.instrument.record(value, &self.attributes(labels));
    }

    /// Records the seconds until the timer is dropped.
    pub fn time(&self, labels: [&str; N]) -> Timer {
        let (histogram, attributes) = (self.instrument.clone(), self.attributes(labels).into());
        Timer { began: Instant::now(), histogram, attributes }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.record(self.began.elapsed().as_secs_f64(), &self.attributes);
    }
}
