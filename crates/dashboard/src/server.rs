//! The page's port: few connections, one request each, and streams that end when the process does.

use crate::answers::Answers;
use crate::news::MOST_VIEWERS;
use crate::pulse::Pulse;
use ddpo_service::doors::{DoorError, WebDoor};
use ddpo_service::http::{accept, one_request};
use hyper::service::service_fn;
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
/// Connections besides those of the viewers; more wait.
const OTHERS: usize = 32;
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
        loop {
            let (stream, place) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &places) => accepted,
            };
            while connections.try_join_next().is_some() {}
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
    tokio::select! {
        () = one_request(stream, HEAD_DEADLINE, service) => {}
        () = pulse.stops() => {}
    }
}
