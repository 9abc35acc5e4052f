//! GET /metrics, /healthz and /readyz over HTTP/1, on an address of its own.
//!
//! Without token and TLS, for scrapers and probes; nothing here can change anything. One request a
//! connection, and few connections, each with a deadline.

use crate::health::{Health, Report};
use crate::http::{accept, one_request};
use crate::metrics::{Metrics, TEXT_FORMAT};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longest time for a request and its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
/// Connections at one time; more wait.
const CONNECTIONS: usize = 32;

const PLAIN: &str = "text/plain; charset=utf-8";

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("metrics_listen = {listen}: {error}")]
pub struct StatusError {
    listen: SocketAddr,
    error: std::io::Error,
}

/// The server, listening.
#[derive(Debug)]
pub struct StatusServer {
    listener: TcpListener,
    answers: Arc<Answers>,
}

impl StatusServer {
    /// Listens; the port is taken when this returns.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(
        listen: SocketAddr,
        metrics: Metrics,
        health: Health,
    ) -> Result<Self, StatusError> {
        let failed = |error| StatusError { listen, error };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        Ok(Self { listener, answers: Arc::new(Answers { metrics, health }) })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` ends: after the drain, so that /readyz tells of it.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        tokio::pin!(stop);
        loop {
            let (stream, place) = tokio::select! {
                () = &mut stop => return,
                accepted = accept(&self.listener, &places) => accepted,
            };
            let answers = self.answers.clone();
            tokio::spawn(async move {
                answers.connection(stream).await;
                drop(place);
            });
        }
    }
}

#[derive(Debug)]
struct Answers {
    metrics: Metrics,
    health: Health,
}

impl Answers {
    async fn connection(&self, stream: TcpStream) {
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(self.answer(&request)) });
        // What takes longer is cut off.
        let _ = tokio::time::timeout(DEADLINE, one_request(stream, HEAD_DEADLINE, service)).await;
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            refused
                .headers_mut()
                .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/healthz" => plain(StatusCode::OK, "alive\n"),
            "/readyz" => ready(&self.health.report()),
            _ => plain(StatusCode::NOT_FOUND, "expected /metrics, /healthz or /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        for condition in self.health.report().conditions {
            self.metrics.condition.set([condition.name], f64::from(u8::from(condition.met)));
        }
        match self.metrics.text() {
            Ok(text) => response(StatusCode::OK, TEXT_FORMAT, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

/// 200 or 503, and every condition with its reason.
fn ready(report: &Report) -> Response<Full<Bytes>> {
    let draining = if report.draining { "draining\n" } else { "" };
    let mut text = draining.to_owned();
    for condition in &report.conditions {
        let met = if condition.met { "ok" } else { "not met" };
        text.push_str(&format!("{}: {met}: {}\n", condition.name, condition.reason));
    }
    match report.serving() {
        true => plain(StatusCode::OK, format!("ready\n{text}")),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{text}")),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    response(status, PLAIN, text.into())
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
