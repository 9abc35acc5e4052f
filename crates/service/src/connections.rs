//! The connections of a gRPC port: a bounded number, which are closed if their peer stays silent. A
//! peer needs no token to connect, so nothing else bounds them.

use crate::descriptors;
use crate::http::accept;
use futures::Stream;
use futures::stream::unfold;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Length of the preface of HTTP/2 (RFC 9113, section 3.4). A TLS handshake is longer.
const PREFACE: usize = 24;

/// Pause between two warnings about a full port.
const WARNINGS: Duration = Duration::from_secs(60);

/// Limits of the connections of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Largest number of connections; more wait in the system's queue. At most half of the process's
    /// limit of open files.
    pub connections: usize,
    /// Longest time until the preface of HTTP/2, or the first message of TLS, has arrived.
    pub preface: Duration,
    /// Longest time without a byte after the preface. The server's pings are more frequent, so only a
    /// peer that does not speak HTTP/2 is silent for longer.
    pub silence: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            preface: Duration::from_secs(10),
            silence: Duration::from_secs(60),
        }
    }
}

/// The connections that a listener accepts, as a stream.
pub struct Connections {
    address: SocketAddr,
    accepted: Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>>,
}

impl Connections {
    /// Accepts connections within `limits`.
    ///
    /// # Errors
    /// The address of the listener is not known.
    pub fn new(listener: TcpListener, limits: ConnectionLimits) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let slots = Arc::new(Semaphore::new(bounded(limits.connections)));
        let port = Port { listener, slots, limits, warned: None };
        let accepted = unfold(port, |mut port| async move {
            let connection = port.next().await;
            Some((Ok(connection), port))
        });
        Ok(Self { address, accepted: Box::pin(accepted) })
    }

    /// Returns the address, including the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Returns a number of connections that leaves half of the process's descriptors to files.
fn bounded(connections: usize) -> usize {
    let half = descriptors::limit().map_or(usize::MAX, |limit| limit / 2);
    connections.min(half).clamp(1, Semaphore::MAX_PERMITS)
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("address", &self.address).finish_non_exhaustive()
    }
}

struct Port {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    limits: ConnectionLimits,
    warned: Option<Instant>,
}

impl Port {
    async fn next(&mut self) -> Connection {
        if self.slots.available_permits() == 0 {
            self.warn();
        }
        let (stream, slot) = accept(&self.listener, &self.slots).await;
        // Small messages must arrive at once.
        let _ = stream.set_nodelay(true);
        Connection::new(stream, self.limits, slot)
    }

    fn warn(&mut self) {
        let now = Instant::now();
        if self.warned.is_none_or(|at| now >= at + WARNINGS) {
            self.warned = Some(now);
            let limit = bounded(self.limits.connections);
            tracing::warn!(limit, "all connections are in use; hint: raise max_connections");
        }
    }
}

/// A connection that fails when its peer stays silent for too long.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    limits: ConnectionLimits,
    received: usize,
    last: Instant,
    timer: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, limits: ConnectionLimits, slot: OwnedSemaphorePermit) -> Self {
        let last = Instant::now();
        let timer = Box::pin(sleep_until(last + limits.preface));
        Self { stream, limits, received: 0, last, timer, _slot: slot }
    }

    /// Returns when the peer has been silent for too long.
    fn due(&self) -> Instant {
        let of_preface = self.received < PREFACE;
        self.last + if of_preface { self.limits.preface } else { self.limits.silence }
    }

    fn note(&mut self, bytes: usize) {
        // Bytes of an incomplete preface do not extend its deadline.
        self.received = self.received.saturating_add(bytes);
        if self.received >= PREFACE {
            self.last = Instant::now();
        }
    }

    /// Resolves when the peer has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.due();
            if due <= Instant::now() {
                let what = if self.received < PREFACE { "preface" } else { "byte" };
                let text = format!("expected a {what} of HTTP/2 in time, found none");
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.timer.as_mut().reset(due);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                self.note(buffer.filled().len() - before);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_silence(cx).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
