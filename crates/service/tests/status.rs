//! Tests of the HTTP address: answers to scrapers and probes, and to unexpected requests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ddpo_service::health::Health;
use ddpo_service::metrics::Metrics;
use ddpo_service::shutdown::Shutdown;
use ddpo_service::status::StatusServer;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
}

async fn start() -> Running {
    let (metrics, shutdown) = (Metrics::new().unwrap(), Shutdown::new());
    let health = Health::new(&["weights", "learner"]);
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = StatusServer::bind(anywhere, metrics.clone(), health.clone()).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.serve(shutdown.wait()));
    Running { address, metrics, health, shutdown }
}

/// Returns the whole answer; empty if the server closes the connection.
async fn send(address: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    timeout(LONG, exchange).await.unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    send(address, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn serves_metrics_as_text() {
    let running = start().await;
    running.metrics.trajectories.add(["receive", "accepted"], 3);
    running.metrics.stage_seconds.observe(["denoise"], 0.2);
    running.health.met("weights", "version 1");
    let answer = get(running.address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for line in [
        "# TYPE ddpo_trajectories_total counter",
        "ddpo_trajectories_total{stage=\"receive\",verdict=\"accepted\"} 3",
        "ddpo_stage_seconds_bucket{stage=\"denoise\",le=\"0.25\"} 1",
        "ddpo_condition{condition=\"weights\"} 1",
        "ddpo_condition{condition=\"learner\"} 0",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
}

#[tokio::test]
async fn readyz_reports_conditions_and_drain() {
    let running = start().await;
    let answer = get(running.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("weights: not met: not yet"), "{answer}");
    running.health.met("weights", "version 1");
    running.health.met("learner", "connected");
    assert!(get(running.address, "/readyz").await.starts_with("HTTP/1.1 200 "));
    running.health.unmet("learner", "connection lost");
    let answer = get(running.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("learner: not met: connection lost"), "{answer}");
    running.health.met("learner", "connected");
    running.health.drain();
    let answer = get(running.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("draining"), "{answer}");
    assert!(get(running.address, "/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn rejects_other_requests() {
    let running = start().await;
    assert!(get(running.address, "/").await.starts_with("HTTP/1.1 404 "));
    let posted = send(running.address, b"POST /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    let garbage = send(running.address, b"\x16\x03\x01 what is this\r\n\r\n").await;
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = send(running.address, long.as_bytes()).await;
    assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(get(running.address, "/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn silent_connections_do_not_block_others() {
    let running = start().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    // More connections than allowed: the answer arrives after the silent ones time out.
    let answer = get(running.address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn server_ends_on_request() {
    let metrics = Metrics::new().unwrap();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = StatusServer::bind(anywhere, metrics, Health::new(&[])).await.unwrap();
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(server.serve(shutdown.wait()));
    shutdown.request();
    timeout(LONG, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn error_names_a_port_in_use() {
    let running = start().await;
    let (metrics, health) = (running.metrics.clone(), running.health.clone());
    let error = StatusServer::bind(running.address, metrics, health).await.unwrap_err();
    let expected = format!("metrics_listen = {}: ", running.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
    running.shutdown.request();
}

#[tokio::test]
async fn refuses_requests_for_another_host_on_loopback() {
    let running = start().await;
    for host in ["127.0.0.1:9464", "localhost", "[::1]:9464"] {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let answer = send(running.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: rebound.example:9464\r\n\r\n");
        let answer = send(running.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("ddpo_"), "{answer}");
    }
}
