//! An unreachable collector. The exporter logs on a separate thread, so this test needs the
//! process's global subscriber.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capture;

use capture::Capture;
use ddpo_service::settings::LogFormat;
use ddpo_service::telemetry::{Telemetry, TelemetrySettings, Variables};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

/// Returns an address without a listener.
async fn nowhere() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_collector_is_reported_once_and_does_not_delay_work() {
    let settings = TelemetrySettings {
        service: "ddpo-test",
        version: "0.0.0",
        worker_id: "test-1".into(),
        run_id: "faces".into(),
        log_format: LogFormat::Text,
        log_filter: "info".into(),
        otlp_endpoint: Some(nowhere().await),
        tls_ca: None,
        variables: Variables::default(),
    };
    let logs = Capture::default();
    let (dispatch, telemetry) = Telemetry::build(&settings, logs.writer()).unwrap();
    let metrics = telemetry.metrics.clone();
    tracing::dispatcher::set_global_default(dispatch).unwrap();
    let began = Instant::now();
    for epoch in 0..5000 {
        tracing::info_span!("epoch", epoch).in_scope(|| tracing::info!("sampled"));
    }
    assert!(began.elapsed() < LONG, "work waited for the exporter");
    let began = Instant::now();
    telemetry.shutdown(LONG).await;
    assert!(began.elapsed() < LONG, "the end waited for the exporter");
    let text = logs.text();
    let reports: Vec<_> = text.lines().filter(|line| !line.contains("sampled")).collect();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    assert!(reports[0].contains("export failed; later failures are only counted"), "{text}");
    assert!(reports[0].contains("Connection refused"), "{text}");
    let exported = metrics.text().unwrap();
    let errors = "ddpo_errors_total{stage=\"telemetry\"} ";
    let count = exported.lines().find_map(|line| line.strip_prefix(errors)).unwrap();
    assert!(count.parse::<u32>().unwrap() >= 2, "traces and metrics failed both: {count}");
}
