//! Metrics over OTLP: the Prometheus registry, turned into OTLP's messages at a fixed interval.
//!
//! One registry serves both ways out, so that they cannot disagree.

use crate::metrics::Metrics;
use crate::telemetry::export::Reporter;
use crate::telemetry::traces::attributes;
use crate::telemetry::{EXPORT_DEADLINE, TelemetrySettings};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{Metric as Sample, MetricFamily, MetricType};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

/// Time between exports.
const INTERVAL: Duration = Duration::from_secs(15);

/// The task that exports.
#[derive(Debug)]
pub(super) struct MetricsExport {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl MetricsExport {
    pub(super) fn start(
        settings: &TelemetrySettings,
        channel: Channel,
        reporter: Arc<Reporter>,
        metrics: &Metrics,
    ) -> Self {
        let stop = CancellationToken::new();
        let export = Export {
            client: MetricsServiceClient::new(channel),
            resource: resource(settings),
            began: now_unix_nano(),
            metrics: metrics.clone(),
            reporter,
        };
        let task = tokio::spawn(export.run(stop.clone()));
        Self { stop, task }
    }

    /// Exports once more, until `deadline`.
    pub(super) async fn finish(self, deadline: Instant) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Export {
    client: MetricsServiceClient<Channel>,
    resource: Resource,
    began: u64,
    metrics: Metrics,
    reporter: Arc<Reporter>,
}

impl Export {
    async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            let request = request(&self.resource, &self.metrics.gather(), self.began);
            match timeout(EXPORT_DEADLINE, self.client.export(request)).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => self.reporter.failed("metrics", &cause(&status)),
                Err(late) => self.reporter.failed("metrics", &late),
            }
            if last {
                return;
            }
        }
    }
}

/// The code and, where the call did not reach the collector, why. The collector's own words stay
/// out: they may repeat what was sent.
fn cause(status: &Status) -> String {
    let first = std::error::Error::source(status);
    let causes = std::iter::successors(first, |error| error.source());
    let code = std::iter::once(format!("{:?}", status.code()));
    code.chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

fn resource(settings: &TelemetrySettings) -> Resource {
    let attributes = attributes(settings).map(|(key, value)| attribute(key, &value));
    Resource { attributes: attributes.into(), ..Resource::default() }
}

fn request(
    resource: &Resource,
    families: &[MetricFamily],
    began: u64,
) -> ExportMetricsServiceRequest {
    let times = Times { began, now: now_unix_nano() };
    let scope = InstrumentationScope { name: "ddpo".into(), ..InstrumentationScope::default() };
    let metrics = families.iter().filter_map(|family| metric(family, times)).collect();
    let scope = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    let metrics = ResourceMetrics {
        resource: Some(resource.clone()),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

/// Start of the counts and time of the reading, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    began: u64,
    now: u64,
}

/// One family; none for the kinds that [`Metrics`] has not.
fn metric(family: &MetricFamily, times: Times) -> Option<Metric> {
    let samples = family.get_metric().iter();
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: samples.map(|s| number(s, s.get_counter().get_value(), times)).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge {
            data_points: samples.map(|s| number(s, s.get_gauge().get_value(), times)).collect(),
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: samples.map(|s| histogram(s, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        _ => return None,
    };
    let (name, description) = (family.name().to_owned(), family.help().to_owned());
    Some(Metric { name, description, data: Some(data), ..Metric::default() })
}

fn number(sample: &Sample, value: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: times.began,
        time_unix_nano: times.now,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts cumulatively and leaves the last bucket out; OTLP counts each bucket, the one
/// above the last bound included.
fn histogram(sample: &Sample, times: Times) -> HistogramDataPoint {
    let histogram = sample.get_histogram();
    let finite = || histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
    let mut below = 0;
    let mut counts: Vec<u64> = Vec::new();
    for bucket in finite() {
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: times.began,
        time_unix_nano: times.now,
        count: counts.iter().sum(),
        sum: Some(histogram.get_sample_sum()),
        explicit_bounds: finite().map(|bucket| bucket.upper_bound()).collect(),
        bucket_counts: counts,
        ..HistogramDataPoint::default()
    }
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    sample.get_label().iter().map(|label| attribute(label.name(), label.value())).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_over_bucket_by_bucket() {
        let metrics = Metrics::new().unwrap();
        for samples in [1.0, 2.0, 2.0, 300.0] {
            metrics.batch_samples.observe(["reward"], samples);
        }
        metrics.errors.add(["reward"], 3);
        let request = request(&Resource::default(), &metrics.gather(), 1);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let named = |name: &str| metrics.iter().find(|m| m.name == name).unwrap().data.clone();
        let Some(Data::Histogram(histogram)) = named("ddpo_batch_samples") else { panic!() };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(305.0)));
        assert_eq!(point.bucket_counts, [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(point.explicit_bounds.len() + 1, point.bucket_counts.len());
        assert_eq!(point.attributes[0].key, "stage");
        let Some(Data::Sum(sum)) = named("ddpo_errors_total") else { panic!() };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].value, Some(Number::AsDouble(3.0)));
    }
}
