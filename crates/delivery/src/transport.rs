//! HTTP/2 settings, tuned by measurement for states of about a megabyte: large windows, frames of
//! 256 KiB, TCP_NODELAY.
//!
//! `ddpo_service::auth` uses the same settings for the services' ports and unary calls, with slower
//! pings. The peer of an uplink holds credits and trajectories without receipts, so its failure
//! must be detected sooner, also without a stream.

use std::error::Error as StdError;
use std::time::Duration;
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{ClientTlsConfig, Endpoint, Error, Server};
use tonic::{Request, Status};

/// Bytes in flight on one stream: 16 MiB.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes in flight on one connection: 32 MiB.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Payload of one HTTP/2 frame: 256 KiB.
const FRAME_BYTES: u32 = 256 << 10;

/// Timeouts that detect a dead connection.
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

/// The token that requests present as `authorization: Bearer`, if set.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Creates a bearer of `token`.
    ///
    /// # Errors
    /// The token contains characters that are not allowed in a header.
    pub fn new(token: Option<&str>) -> Result<Self, InvalidMetadataValue> {
        let Some(token) = token else { return Ok(Self(None)) };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        // HTTP/2 then neither indexes nor logs the value.
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Adds the token to a request.
    pub fn present<T>(&self, request: &mut Request<T>) {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.present(&mut request);
        Ok(request)
    }
}

/// Iterates over an error and its causes; tonic's message is only "transport error".
pub fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns the messages of an error and its causes.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    ddpo_rollout::causes::one_line(error)
}
