//! GET /metrics, /healthz and /readyz over HTTP/1, on a separate address.
//!
//! Needs no token or TLS, for scrapers and probes; requests cannot change anything. Connections are
//! bounded, have a deadline, and serve one request each.

use crate::auth::{is_loopback, names_this_machine};
use crate::health::{Health, Report};
use crate::http::{accept, one_request};
use crate::metrics::{Metrics, TEXT_FORMAT};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest time for a request and its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
/// Largest number of connections; more wait.
const CONNECTIONS: usize = 32;

/// The port cannot be opened.
#[derive(Debug, Error)]
#[error("metrics_listen = {listen}: {error}")]
pub struct StatusError {
    listen: SocketAddr,
    error: std::io::Error,
}

/// A server with an open port.
#[derive(Debug)]
pub struct StatusServer {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    health: Health,
}

impl StatusServer {
    /// Opens the port before it returns.
    ///
    /// # Errors
    /// The port cannot be opened.
    pub async fn bind(
        listen: SocketAddr,
        metrics: Metrics,
        health: Health,
    ) -> Result<Self, StatusError> {
        let failed = |error| StatusError { listen, error };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let router = router(Sources { metrics, health });
        let router = if is_loopback(listen) { router.layer(from_fn(meant)) } else { router };
        Ok(Self { listener, router })
    }

    /// Returns the address, including the port that the system chose for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, which is after the drain, so that /readyz reports the drain.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        tokio::pin!(stop);
        loop {
            let (stream, slot) = tokio::select! {
                () = &mut stop => return,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            let router = self.router.clone();
            tokio::spawn(async move {
                // Slow connections are closed.
                let _ = timeout(DEADLINE, one_request(stream, HEAD_DEADLINE, router)).await;
                drop(slot);
            });
        }
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get("alive\n"))
        .route(
            "/readyz",
            get(|State(from): State<Sources>| async move { ready(&from.health.report()) }),
        )
        .fallback((StatusCode::NOT_FOUND, "expected /metrics, /healthz or /readyz\n"))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "GET only\n"))
        .with_state(sources)
}

/// Forwards requests for this machine: without a token, a web page could read a loopback port.
async fn meant(request: Request, next: Next) -> Response {
    if names_this_machine(request.headers()) {
        return next.run(request).await;
    }
    let line = "expected the host localhost or an address\n";
    (StatusCode::MISDIRECTED_REQUEST, line).into_response()
}

async fn metrics(State(from): State<Sources>) -> Response {
    for condition in from.health.report().conditions {
        from.metrics.condition.set([condition.name], f64::from(u8::from(condition.met)));
    }
    match from.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Returns 200 or 503, and each condition with its reason.
fn ready(report: &Report) -> (StatusCode, String) {
    let (status, title) = if report.serving() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    let mut text = title.to_owned();
    if report.draining {
        text.push_str("draining\n");
    }
    for condition in &report.conditions {
        let met = if condition.met { "ok" } else { "not met" };
        text.push_str(&format!("{}: {met}: {}\n", condition.name, condition.reason));
    }
    (status, text)
}
