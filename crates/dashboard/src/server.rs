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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::news::News;
    use ddpo_service::auth::ServerAuthSettings;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const TOKEN: &str = "0123456789abcdef-hush";

    async fn start() -> SocketAddr {
        let settings = ServerAuthSettings {
            setting: "dashboard_listen",
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: serde_json::from_value(TOKEN.into()).ok(),
            token_file: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            insecure: false,
        };
        let auth = settings.open_web().unwrap();
        let stop = CancellationToken::new();
        let answers = Answers::new(auth, News::default(), stop.clone());
        let server = Server::bind(answers).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.serve(stop));
        address
    }

    async fn begin(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Returns the first bytes of the answer.
    async fn answer(mut stream: TcpStream) -> String {
        let mut bytes = vec![0; 4096];
        let reading = timeout(Duration::from_secs(20), stream.read(&mut bytes));
        let count = reading.await.unwrap().unwrap_or_default();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[tokio::test]
    async fn stalled_bodies_do_not_make_the_page_unreachable() {
        let address = start().await;
        let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\ntoken=";
        let mut stalled = Vec::new();
        for _ in 0..120 {
            stalled.push(begin(address, head).await);
        }
        let began = Instant::now();
        let get = "GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let found = answer(begin(address, get).await).await;
        assert!(found.starts_with("HTTP/1.1 401 "), "{found}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let first = answer(stalled.remove(0)).await;
        assert!(first.starts_with("HTTP/1.1 408 "), "{first}");
        let last = answer(stalled.remove(118)).await;
        assert!(last.starts_with("HTTP/1.1 503 "), "{last}");
    }

    #[tokio::test]
    async fn signs_in_by_a_form_and_refuses_a_large_one() {
        let address = start().await;
        let post = |form: &str| {
            let length = form.len();
            format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{form}")
        };
        let found = answer(begin(address, &post(&format!("token={TOKEN}"))).await).await;
        assert!(found.starts_with("HTTP/1.1 303 ") && found.contains("set-cookie"), "{found}");
        let found = answer(begin(address, &post(&"x".repeat(5000))).await).await;
        assert!(found.starts_with("HTTP/1.1 413 "), "{found}");
    }
}
