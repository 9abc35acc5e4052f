//! HTTP/2 settings that measured best for states of about a megabyte: large windows, frames of
//! 256 KiB, TCP_NODELAY.
//!
//! `ddpo_service::auth` uses the same settings for the services' ports and unary calls, with slower
//! pings: the peer of an uplink holds credits and trajectories without receipts, so that its silence
//! has to be found sooner, and also while there is no stream.

use std::time::Duration;
use tonic::transport::{ClientTlsConfig, Endpoint, Error, Server};

/// Bytes in flight on one stream: 16 MiB.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes in flight on one connection: 32 MiB.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Payload of one HTTP/2 frame: 256 KiB.
const FRAME_BYTES: u32 = 256 << 10;

/// When a silent connection counts as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence after which a ping is sent.
    pub interval: Duration,
    /// Time within which the answer must arrive.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(10) }
    }
}

/// Returns a server with these settings. `serve(address)` sets TCP_NODELAY; for another listener, use
/// `TcpIncoming::with_nodelay`.
#[must_use]
pub fn server(keep_alive: KeepAlive) -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(keep_alive.interval))
        .http2_keepalive_timeout(Some(keep_alive.timeout))
}

/// Returns a client's endpoint with these settings.
///
/// # Errors
/// An address that is not a URI, or invalid TLS settings.
pub fn endpoint(
    address: &str,
    tls: Option<&ClientTlsConfig>,
    connect_timeout: Duration,
    keep_alive: KeepAlive,
) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .tcp_nodelay(true)
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .keep_alive_while_idle(true);
    match tls {
        Some(tls) => endpoint.tls_config(tls.clone()),
        None => Ok(endpoint),
    }
}
