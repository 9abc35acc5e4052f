//! Settings of an uplink.

use super::backoff::Backoff;
use crate::destination::Destination;
use crate::transport::{Bearer, KeepAlive, endpoint};
use ddpo_proto::limits::Limits;
use std::time::Duration;
use thiserror::Error;
use tonic::transport::{ClientTlsConfig, Endpoint};

/// Addresses, credentials, timeouts and bounds of an uplink.
#[derive(Clone, Debug)]
pub struct UplinkSettings {
    /// Which of the two services.
    pub destination: Destination,
    /// `http://host:port` or `https://host:port`; one is used at a time.
    pub addresses: Vec<String>,
    /// Which address is tried first, modulo their number: different for each worker.
    pub first_address: usize,
    /// For `https` addresses.
    pub tls: Option<ClientTlsConfig>,
    /// Sent as `authorization: Bearer ...` when a stream opens.
    pub bearer_token: Option<String>,
    /// For a connection, and again for the stream on it.
    pub connect_timeout: Duration,
    /// When a silent connection counts as dead.
    pub keep_alive: KeepAlive,
    /// After so long without a receipt for a trajectory that was sent in full, without a credit
    /// when none is left, or without any byte being taken, the stream is torn down and everything
    /// is sent again.
    pub receipt_timeout: Duration,
    /// Pauses before connecting again, and before a trajectory is sent again after RETRY_LATER.
    pub backoff: Backoff,
    /// Bounds on what is sent; the receiver's have to allow it.
    pub limits: Limits,
}

impl UplinkSettings {
    /// Defaults for one destination.
    pub fn new(destination: Destination, addresses: Vec<String>) -> Self {
        Self {
            destination,
            addresses,
            first_address: 0,
            tls: None,
            bearer_token: None,
            connect_timeout: Duration::from_secs(5),
            keep_alive: KeepAlive::default(),
            receipt_timeout: Duration::from_secs(300),
            backoff: Backoff::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, NotAnUplink> {
        if self.addresses.is_empty() {
            return Err(NotAnUplink::NoAddress(self.destination));
        }
        let endpoints = self.addresses.iter().map(|address| {
            let made = endpoint(address, self.tls.as_ref(), self.connect_timeout, self.keep_alive);
            made.map_err(|source| NotAnUplink::Address { address: address.clone(), source })
        });
        endpoints.collect()
    }

    pub(crate) fn bearer(&self) -> Result<Bearer, NotAnUplink> {
        Bearer::new(self.bearer_token.as_deref()).map_err(|_| NotAnUplink::Token)
    }
}

/// Errors from settings that cannot work.
#[derive(Debug, Error)]
pub enum NotAnUplink {
    /// No address is given.
    #[error("addresses of the {0}: expected at least one, found none")]
    NoAddress(Destination),
    /// An address is not a URI, or its TLS settings are invalid.
    #[error("address {address:?}: expected http:// or https:// with a host and a port")]
    Address {
        /// The address.
        address: String,
        /// What tonic says.
        source: tonic::transport::Error,
    },
    /// The token cannot be a header value. The message does not show it.
    #[error("bearer token: expected visible ASCII characters")]
    Token,
}
