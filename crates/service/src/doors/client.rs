//! The client's side: which token is presented, and whom the client believes.

use crate::doors::error::DoorError;
use crate::doors::pem;
use crate::doors::server::tls_error;
use crate::doors::token::{self, Bearer};
use crate::doors::{
    CONNECTION_WINDOW, FRAME, HANDSHAKE, HEADERS, PING_AFTER, PING_ANSWER, STREAM_WINDOW,
};
use crate::settings::ServiceSettings;
use ddpo_settings::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};

/// A channel that presents the token with every call.
pub type KeyedChannel = InterceptedService<Channel, Bearer>;

/// How another service is reached.
#[derive(Clone, Debug, Default)]
pub struct ClientDoor {
    /// The token to present.
    pub token: Option<Secret>,
    /// A file with it, instead.
    pub token_file: Option<PathBuf>,
    /// The authorities of the servers' certificates (PEM); TLS with it, and only with it.
    pub tls_ca: Option<PathBuf>,
    /// The client's own certificate chain (PEM), for servers that want one.
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// The name in the servers' certificates; by default the host of their address.
    pub domain: Option<String>,
    /// Send the token without TLS over the network.
    pub insecure: bool,
}

impl From<&ServiceSettings> for ClientDoor {
    fn from(settings: &ServiceSettings) -> Self {
        let settings = settings.clone();
        // A service without tls_ca still has a certificate for its own server.
        let own = settings.tls_ca.is_some();
        Self {
            token: settings.token,
            token_file: settings.token_file,
            tls_ca: settings.tls_ca,
            tls_cert: settings.tls_cert.filter(|_| own),
            tls_key: settings.tls_key.filter(|_| own),
            domain: settings.tls_domain,
            insecure: settings.insecure,
        }
    }
}

impl ClientDoor {
    /// Reads and checks everything that the settings name.
    ///
    /// # Errors
    /// [`DoorError`] names the setting, the file and what is wrong with it.
    pub fn open(&self) -> Result<Key, DoorError> {
        let token = token::resolve(self.token.as_ref(), self.token_file.as_deref())?;
        let bearer = Bearer::new(token.as_ref())?;
        Ok(Key { tls: self.tls()?, bearer, token, insecure: self.insecure })
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, DoorError> {
        let incomplete = |setting, missing| Err(DoorError::Incomplete { setting, missing });
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(pem::Pair::read(certificate, key)?.identity()),
            (Some(_), None) => return incomplete("tls_cert", "tls_key"),
            (None, Some(_)) => return incomplete("tls_key", "tls_cert"),
            (None, None) => None,
        };
        let Some(path) = &self.tls_ca else {
            return match identity {
                Some(_) => incomplete("tls_cert", "tls_ca"),
                None => Ok(None),
            };
        };
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(pem::authorities("tls_ca", path)?)
            .timeout(HANDSHAKE);
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        if let Some(domain) = &self.domain {
            tls = tls.domain_name(domain);
        }
        Ok(Some(tls))
    }
}

/// A checked key to other services' doors.
#[derive(Clone, Debug)]
pub struct Key {
    tls: Option<ClientTlsConfig>,
    bearer: Bearer,
    token: Option<Secret>,
    insecure: bool,
}

impl Key {
    /// The endpoint of a service at `http://host:port`, or `https://` with TLS, with the HTTP/2
    /// settings that suit large messages.
    ///
    /// # Errors
    /// The address is none, `https` without `tls_ca` or the reverse, or a token would cross the
    /// network in the clear.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, DoorError> {
        let refused = |reason: &str| DoorError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = address.parse().map_err(|_| refused("expected http(s)://host:port"))?;
        let host = uri.host().ok_or_else(|| refused("expected http(s)://host:port"))?;
        let endpoint = Endpoint::from(uri.clone())
            .tcp_nodelay(true)
            .connect_timeout(HANDSHAKE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .http2_max_header_list_size(HEADERS)
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_ANSWER);
        match (uri.scheme_str(), &self.tls) {
            (Some("https"), Some(tls)) => endpoint.tls_config(tls.clone()).map_err(tls_error),
            (Some("https"), None) => Err(refused("https needs tls_ca")),
            (Some("http"), Some(_)) => Err(refused("tls_ca needs https")),
            (Some("http"), None) if self.token.is_some() && !self.insecure && !is_local(host) => {
                Err(refused(
                    "the token would cross the network without TLS; \
                     hint: use https and tls_ca, or set insecure where the network itself is closed",
                ))
            }
            (Some("http"), None) => Ok(endpoint),
            _ => Err(refused("expected http(s)://host:port")),
        }
    }

    /// A channel to `address` that connects when it is first used, and presents the token.
    ///
    /// # Errors
    /// As [`endpoint`](Self::endpoint).
    pub fn channel(&self, address: &str) -> Result<KeyedChannel, DoorError> {
        let channel = self.endpoint(address)?.connect_lazy();
        Ok(InterceptedService::new(channel, self.bearer()))
    }

    /// The TLS settings, for clients that make endpoints of their own; check each address with
    /// [`endpoint`](Self::endpoint) first.
    #[must_use]
    pub fn tls(&self) -> Option<&ClientTlsConfig> {
        self.tls.as_ref()
    }

    /// The token, for clients that present it themselves.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// The interceptor that presents the token.
    #[must_use]
    pub fn bearer(&self) -> Bearer {
        self.bearer.clone()
    }
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
