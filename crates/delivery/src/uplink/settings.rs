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
    /// The receiving service.
    pub destination: Destination,
    /// `http://host:port` or `https://host:port`; used one at a time.
    pub addresses: Vec<String>,
    /// The address to try first, modulo their number; it should differ between workers.
    pub first_address: usize,
    /// TLS settings, for `https` addresses.
    pub tls: Option<ClientTlsConfig>,
    /// Sent as `authorization: Bearer ...` when a stream opens.
    pub bearer_token: Option<String>,
    /// Timeout of a connection, and of opening a stream on it.
    pub connect_timeout: Duration,
    /// Timeouts that detect a dead connection.
    pub keep_alive: KeepAlive,
    /// The stream is closed and everything is resent after this long without a receipt for a
    /// completely sent trajectory, without a credit when none is left, or without progress in
    /// sending.
    pub receipt_timeout: Duration,
    /// Pauses before reconnecting, and before resending a trajectory after RETRY_LATER.
    pub backoff: Backoff,
    /// Limits of sent messages; the receiver must allow them.
    pub limits: Limits,
}

impl UplinkSettings {
    /// Returns the defaults for a destination.
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

/// Errors in the settings of an uplink.
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
        /// The error of tonic.
        source: tonic::transport::Error,
    },
    /// The token is not a valid header value. The message does not show it.
    #[error("bearer token: expected visible ASCII characters")]
    Token,
}
