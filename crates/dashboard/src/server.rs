//! The HTTP server of the page: a bounded number of connections, one request each, and streams that
//! end with the process.

use crate::idle::IdleTimer;
use crate::news::MOST_VIEWERS;
use crate::routes::{Answers, router};
use axum::{Extension, Router};
use ddpo_service::auth::{AuthError, WebAuth};
use ddpo_service::http::{accept, one_request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time limit for the TLS handshake, and for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Connections besides those of the viewers; more wait.
const OTHERS: usize = 32;
/// Time limit for streams to send their last event.
const LAST_EVENTS: Duration = Duration::from_millis(200);

/// The listening server.
pub struct Server {
    listener: TcpListener,
    auth: WebAuth,
    router: Router,
}

impl Server {
    /// Opens the port and listens.
    ///
    /// # Errors
    /// [`AuthError::Listen`] if the address cannot be listened on.
    pub async fn bind(answers: Answers) -> Result<Self, AuthError> {
        let auth = answers.auth.clone();
        Ok(Self { listener: auth.bind().await?, auth, router: router(answers) })
    }

    /// Returns the address, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// The error of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MOST_VIEWERS + OTHERS));
        let mut connections = JoinSet::new();
        loop {
            let (stream, slot) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            while connections.try_join_next().is_some() {}
            let (auth, router) = (self.auth.clone(), self.router.clone());
            connections.spawn(async move {
                secured(&auth, router, stream).await;
                drop(slot);
            });
        }
        // Dropping the set closes the remaining connections.
        let _ =
            timeout(LAST_EVENTS, async { while connections.join_next().await.is_some() {} }).await;
    }
}

async fn secured(auth: &WebAuth, router: Router, stream: TcpStream) {
    // Events are small and must arrive at once.
    let _ = stream.set_nodelay(true);
    match auth.tls() {
        None => connection(router, stream).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HEAD_DEADLINE, tls.accept(stream)).await {
                connection(router, stream).await;
            }
        }
    }
}

/// Answers one request, as long as the client reads.
async fn connection(router: Router, stream: impl AsyncRead + AsyncWrite + Send + Unpin) {
    let idle = Arc::new(IdleTimer::new());
    let router = router.layer(Extension(Arc::clone(&idle)));
    tokio::select! {
        () = one_request(stream, HEAD_DEADLINE, router) => {}
        () = idle.expired() => {}
    }
}
