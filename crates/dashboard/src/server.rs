//! The page's port: few connections, one request each, and streams that end when the process does.

use crate::answers::Answers;
use crate::news::MOST_VIEWERS;
use crate::pulse::Pulse;
use ddpo_service::doors::{DoorError, WebDoor};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time for the TLS handshake, and for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Largest head of a request (bytes).
const HEAD: usize = 16 << 10;
/// Connections besides those of the viewers; more wait.
const OTHERS: usize = 32;
/// Pause after an error of accept, which says that the process has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// How long streams get to send their last event.
const LAST_WORD: Duration = Duration::from_millis(200);

/// The server, listening.
pub struct Server {
    listener: TcpListener,
    door: WebDoor,
    answers: Arc<Answers>,
}

impl Server {
    /// Listens; the port is taken when this returns.
    ///
    /// # Errors
    /// [`DoorError::Listen`].
    pub async fn bind(door: WebDoor, answers: Answers) -> Result<Self, DoorError> {
        Ok(Self { listener: door.bind().await?, door, answers: Arc::new(answers) })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MOST_VIEWERS + OTHERS));
        let mut connections = JoinSet::new();
        while let Some(stream) = self.accepted(&places, &stop).await {
            while connections.try_join_next().is_some() {}
            let Some((stream, place)) = stream else { continue };
            let (door, answers) = (self.door.clone(), Arc::clone(&self.answers));
            connections.spawn(async move {
                secured(&door, &answers, stream).await;
                drop(place);
            });
        }
        // What is left after that is dropped with the set, and its connection with it.
        let _ =
            timeout(LAST_WORD, async { while connections.join_next().await.is_some() {} }).await;
    }

    /// The next connection and its place; `Some(None)` where the system has refused it, and nothing
    /// at the end.
    async fn accepted(
        &self,
        places: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<Option<(TcpStream, impl Drop + use<>)>> {
        let next = async {
            let place = Arc::clone(places).acquire_owned().await.ok()?;
            match self.listener.accept().await {
                Ok((stream, _)) => Some(Some((stream, place))),
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    Some(None)
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => None,
            accepted = next => accepted,
        }
    }
}

async fn secured(door: &WebDoor, answers: &Answers, stream: TcpStream) {
    // Events are small and are to arrive at once.
    let _ = stream.set_nodelay(true);
    match door.tls() {
        None => connection(answers, stream).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HEAD_DEADLINE, tls.accept(stream)).await {
                connection(answers, stream).await;
            }
        }
    }
}

/// One request and its answer, for as long as the other end takes something.
async fn connection(answers: &Answers, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let pulse = Arc::new(Pulse::new());
    let service = service_fn(|request| {
        let pulse = Arc::clone(&pulse);
        async move { Ok::<_, Infallible>(answers.answer(request, pulse).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A client that breaks off is its own affair.
        _ = connection => {}
        () = pulse.stops() => {}
    }
}
