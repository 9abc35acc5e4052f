//! HTTP/1 with a bounded number of connections, one request each.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Largest head of a request (bytes).
const HEAD: usize = 16 << 10;
/// Pause after an error of accept, which means that the process has no free file descriptor.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits for a free slot, and returns the next connection with it.
pub async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return pending().await };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Answers one request, whose head must arrive within `head_deadline`. Ignores errors of the
/// client.
pub async fn one_request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    head_deadline: Duration,
    router: Router,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = connection.await;
}
