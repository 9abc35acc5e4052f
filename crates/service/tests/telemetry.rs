//! Tests of logs, traces and metrics, with a working collector and with one that never answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capture;
mod serving;

use capture::Capture;
use ddpo_service::health::Health;
use ddpo_service::metrics::Metrics;
use ddpo_service::settings::LogFormat;
use ddpo_service::telemetry::context::{continue_from, traceparent};
use ddpo_service::telemetry::{Telemetry, TelemetrySettings, Variables};
use ddpo_settings::Secret;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing::dispatcher::DefaultGuard;

fn settings(otlp_endpoint: Option<String>) -> TelemetrySettings {
    TelemetrySettings {
        service: "ddpo-test",
        version: "0.0.0",
        worker_id: "test-1".into(),
        run_id: "faces".into(),
        log_format: LogFormat::Text,
        log_filter: "info".into(),
        otlp_endpoint,
        tls_ca: None,
        variables: Variables::default(),
    }
}

struct Started {
    telemetry: Telemetry,
    metrics: Metrics,
    logs: Capture,
    // The tests' runtime has one thread, so this thread's subscriber sees everything.
    _guard: DefaultGuard,
}

fn start(settings: &TelemetrySettings) -> Started {
    let logs = Capture::default();
    let (dispatch, telemetry) = Telemetry::build(settings, logs.writer()).unwrap();
    let metrics = telemetry.metrics.clone();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    Started { telemetry, metrics, logs, _guard }
}

#[derive(Clone, Default)]
struct Collector {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    async fn serve(&self) -> String {
        let listener = listener().await;
        let address = address(&listener);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.traces.lock().unwrap();
        let scopes = requests.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

fn address(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

fn work() {
    for epoch in 0..100 {
        let span = tracing::info_span!("epoch", epoch);
        let _entered = span.enter();
        tracing::info!("sampled");
    }
}

#[tokio::test]
async fn exports_spans_and_metrics_but_not_those_of_the_transport() {
    let collector = Collector::default();
    let endpoint = collector.serve().await;
    let started =
        start(&TelemetrySettings { log_filter: "off".into(), ..settings(Some(endpoint)) });
    started.metrics.trajectories.add(["receive", "accepted"], 3);
    work();
    started.telemetry.shutdown(serving::LONG).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 100, "{:?}", spans.iter().map(|s| &s.name).collect::<Vec<_>>());
    assert!(spans.iter().all(|span| span.name == "epoch"));
    let requests = collector.metrics.lock().unwrap();
    let last = &requests.last().unwrap().resource_metrics[0];
    let metrics = &last.scope_metrics[0].metrics;
    assert!(metrics.iter().any(|metric| metric.name == "ddpo_trajectories_total"));
    let attributes = &last.resource.as_ref().unwrap().attributes;
    let mut keys: Vec<_> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["ddpo.run_id", "service.instance.id", "service.name", "service.version"]);
    assert!(!started.metrics.text().unwrap().contains("ddpo_errors_total"));
    assert_eq!(started.logs.text(), "");
}

#[tokio::test]
async fn trace_continues_in_another_process() {
    let collector = Collector::default();
    let started = start(&settings(Some(collector.serve().await)));
    let order = tracing::info_span!("order");
    let carried = traceparent(&order).unwrap();
    assert_eq!(carried.split('-').map(str::len).collect::<Vec<_>>(), [2, 32, 16, 2], "{carried}");
    let reward = tracing::info_span!("reward");
    assert!(continue_from(&reward, &carried));
    let onwards = traceparent(&reward).unwrap();
    assert_eq!(onwards[..36], carried[..36]);
    assert_ne!(onwards, carried);
    for text in ["", "00-xyz", "00-00000000000000000000000000000000-0000000000000000-01"] {
        assert!(!continue_from(&tracing::info_span!("other"), text), "{text}");
    }
    drop((order, reward));
    started.telemetry.shutdown(serving::LONG).await;
    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap().clone();
    assert_eq!(named("reward").parent_span_id, named("order").span_id);
    assert_eq!(named("reward").trace_id, named("order").trace_id);
}

#[tokio::test]
async fn silent_collector_does_not_delay_shutdown() {
    let listener = listener().await;
    let started = start(&settings(Some(address(&listener))));
    let began = Instant::now();
    work();
    assert!(began.elapsed() < Duration::from_secs(5), "work waited for the exporter");
    let began = Instant::now();
    started.telemetry.shutdown(Duration::from_millis(500)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the end waited for the exporter");
    let text = started.logs.text();
    assert_eq!(text.lines().filter(|line| line.contains("sampled")).count(), 100);
}

#[tokio::test]
async fn no_traceparent_without_a_collector() {
    let started = start(&settings(None));
    let span = tracing::info_span!("order");
    assert_eq!(traceparent(&span), None);
    assert!(!continue_from(&span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    started.telemetry.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn json_logs_have_one_object_per_line_with_the_span() {
    let json = TelemetrySettings { log_format: LogFormat::Json, ..settings(None) };
    let started = start(&json);
    tracing::info_span!("order", order.id = 7).in_scope(|| tracing::info!(samples = 3, "taken"));
    tracing::debug!("not asked for");
    let text = started.logs.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["message"], &line["samples"]), (&"taken".into(), &3.into()));
    assert_eq!((&line["level"], &line["span"]["order.id"]), (&"INFO".into(), &7.into()));
}

#[tokio::test]
async fn condition_changes_are_logged_once() {
    let started = start(&settings(None));
    let health = Health::new(&["weights"]);
    health.unmet("weights", "no manifest");
    for version in 1..4 {
        health.met("weights", format!("version {version}"));
    }
    health.unmet("weights", "redis is gone");
    health.unmet("weights", "redis is gone");
    health.drain();
    health.drain();
    let text = started.logs.text();
    let lines: Vec<_> = text.lines().map(|line| line.split_once("health: ").unwrap().1).collect();
    let expected = [
        "condition not met condition=\"weights\" reason=no manifest",
        "condition met condition=\"weights\" reason=version 1",
        "condition not met condition=\"weights\" reason=redis is gone",
        "draining",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn export_requires_the_tokio_runtime() {
    let settings = settings(Some("http://127.0.0.1:4317".into()));
    let built = Telemetry::build(&settings, Capture::default().writer());
    let expected = "otlp_endpoint: exports need the tokio runtime";
    assert_eq!(built.err().unwrap().to_string(), expected);
}

#[tokio::test]
async fn errors_name_invalid_filter_and_endpoint() {
    let message = |settings: &TelemetrySettings| {
        let built = Telemetry::build(settings, Capture::default().writer());
        built.err().unwrap().to_string()
    };
    let filter = TelemetrySettings { log_filter: "info,ddpo=loud".into(), ..settings(None) };
    assert!(message(&filter).starts_with("log_filter = \"info,ddpo=loud\": "));
    let endpoint = message(&settings(Some("collector:4317".into())));
    assert_eq!(endpoint, "otlp_endpoint: collector:4317: expected http(s)://host:port");
    let endpoint = message(&settings(Some("https://collector:4317".into())));
    assert_eq!(endpoint, "otlp_endpoint: https://collector:4317: https needs tls_ca");
}

#[tokio::test]
async fn trace_logs_do_not_contain_the_token() {
    let everything = TelemetrySettings { log_filter: "trace".into(), ..settings(None) };
    let started = start(&everything);
    let auth = serving::settings();
    tracing::info!(?auth, token = %Secret::new(serving::TOKEN), "starting");
    let running = serving::serve(&auth).await;
    let address = format!("http://{}", running.address);
    for token in [serving::TOKEN, "another-token-of-hush"] {
        let token = Some(Secret::new(token));
        let client = ddpo_service::auth::ClientAuthSettings { token, ..Default::default() };
        tracing::info!(?client, key = ?client.open().unwrap(), "connecting");
        let _ = serving::check(&client.open().unwrap(), &address, "").await;
    }
    let text = started.logs.text();
    assert!(text.contains("h2") && text.contains("[hidden]"), "{text}");
    assert_eq!(text.lines().find(|line| line.contains("hush")), None);
}

#[tokio::test]
async fn resource_attributes_of_the_environment_come_after_the_settings() {
    let collector = Collector::default();
    let variables = Variables {
        service_name: Some("lab".into()),
        attributes: vec![("team".into(), "faces".into()), ("ddpo.run_id".into(), "another".into())],
        ..Variables::default()
    };
    let settings = settings(Some(collector.serve().await));
    let started = start(&TelemetrySettings { variables, ..settings });
    work();
    started.telemetry.shutdown(serving::LONG).await;
    let (traces, metrics) = (collector.traces.lock().unwrap(), collector.metrics.lock().unwrap());
    let spans = traces.last().unwrap().resource_spans[0].resource.clone();
    let metrics = metrics.last().unwrap().resource_metrics[0].resource.clone();
    for resource in [spans, metrics] {
        let shown = format!("{resource:?}");
        let count = |text: &str| shown.matches(&format!("StringValue(\"{text}\")")).count();
        let values = ["lab", "faces", "test-1", "0.0.0"];
        assert_eq!(values.map(count), [1, 2, 1, 1], "{shown}");
        assert_eq!(count("another") + count("ddpo-test"), 0, "{shown}");
    }
}

#[tokio::test]
async fn a_disabled_sdk_exports_nothing() {
    let collector = Collector::default();
    let variables = Variables { disabled: true, ignored: vec!["x".into()], ..Variables::default() };
    let settings = settings(Some(collector.serve().await));
    let started = start(&TelemetrySettings { variables, ..settings });
    started.metrics.trajectories.add(["receive", "accepted"], 3);
    work();
    started.telemetry.shutdown(serving::LONG).await;
    assert_eq!(collector.spans().len(), 0);
    assert_eq!(collector.metrics.lock().unwrap().len(), 0);
    assert!(started.metrics.text().unwrap().contains("ddpo_trajectories_total"));
    let warning = "ignored a variable of OpenTelemetry: x";
    assert_eq!(started.logs.text().matches(warning).count(), 1);
}
