//! HTTP/1 for few and short conversations: one request a connection, and a place for each connection.

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Largest head of a request (bytes).
const HEAD: usize = 16 << 10;
/// Pause after an error of accept, which says that the process has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The next connection, once there is a place for it, which is free again when the permit is dropped.
pub async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return pending().await };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Lets `service` answer one request, whose head has to come within `head_deadline`. A client that
/// breaks off or dawdles is its own affair.
pub async fn one_request<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    head_deadline: Duration,
    service: S,
) where
    S: HttpService<Incoming, Error: Into<Box<dyn Error + Send + Sync>>>,
    S::ResBody: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}
