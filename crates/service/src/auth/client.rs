//! Authentication of the client: the token to present, and the certificates to trust.

use crate::auth::certificates;
use crate::auth::error::AuthError;
use crate::auth::http2::{HANDSHAKE, HEADERS, KEEP_ALIVE};
use crate::auth::server::tls_error;
use crate::auth::token::{self, UNFIT};
use crate::settings::ServiceSettings;
use ddpo_delivery::transport::{self, Bearer};
use ddpo_settings::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};

/// A channel that presents the token with every call.
pub type AuthChannel = InterceptedService<Channel, Bearer>;

/// Settings for calls to other services.
#[derive(Clone, Debug, Default)]
pub struct ClientAuthSettings {
    /// The token to present.
    pub token: Option<Secret>,
    /// A file that contains the token.
    pub token_file: Option<PathBuf>,
    /// CA certificates of the servers (PEM); required for TLS.
    pub tls_ca: Option<PathBuf>,
    /// The client's certificate chain (PEM), for servers with mutual TLS.
    pub tls_cert: Option<PathBuf>,
    /// The client's private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// The host name in the servers' certificates (default: the host of the address).
    pub domain: Option<String>,
    /// Sends the token over the network without TLS.
    pub insecure: bool,
}

impl From<&ServiceSettings> for ClientAuthSettings {
    fn from(settings: &ServiceSettings) -> Self {
        let settings = settings.clone();
        // A service without tls_ca still has a certificate for its server.
        let with_tls = settings.tls_ca.is_some();
        Self {
            token: settings.token,
            token_file: settings.token_file,
            tls_ca: settings.tls_ca,
            tls_cert: settings.tls_cert.filter(|_| with_tls),
            tls_key: settings.tls_key.filter(|_| with_tls),
            domain: settings.tls_domain,
            insecure: settings.insecure,
        }
    }
}

impl ClientAuthSettings {
    /// Reads and checks the files that the settings name.
    ///
    /// # Errors
    /// [`AuthError`] names the setting, the file and the mistake.
    pub fn open(&self) -> Result<ClientAuth, AuthError> {
        let token = token::resolve(self.token.as_ref(), self.token_file.as_deref())?;
        let bearer = Bearer::new(token.as_ref().map(Secret::expose));
        let bearer = bearer.map_err(|_| AuthError::Token(UNFIT.into()))?;
        Ok(ClientAuth { tls: self.tls()?, bearer, token, insecure: self.insecure })
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, AuthError> {
        let incomplete = |setting, missing| Err(AuthError::Incomplete { setting, missing });
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(certificates::Pair::read(certificate, key)?.identity())
            }
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
            .ca_certificate(certificates::authorities("tls_ca", path)?)
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

/// Checked credentials for other services.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    tls: Option<ClientTlsConfig>,
    bearer: Bearer,
    token: Option<Secret>,
    insecure: bool,
}

impl ClientAuth {
    /// Returns the endpoint of a service at `http://host:port`, or `https://` with TLS, with HTTP/2
    /// settings for large messages.
    ///
    /// # Errors
    /// An invalid address, `https` without `tls_ca` or the reverse, or a token that would cross the
    /// network without TLS.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, AuthError> {
        let refused = |reason: &str| AuthError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = address.parse().map_err(|_| refused("expected http(s)://host:port"))?;
        let host = uri.host().ok_or_else(|| refused("expected http(s)://host:port"))?;
        let endpoint = transport::endpoint(address, None, HANDSHAKE, KEEP_ALIVE)
            .map_err(tls_error)?
            .http2_max_header_list_size(HEADERS)
            .keep_alive_while_idle(false);
        match (uri.scheme_str(), &self.tls) {
            (Some("https"), Some(tls)) => endpoint.tls_config(tls.clone()).map_err(tls_error),
            (Some("https"), None) => Err(refused("https needs tls_ca")),
            (Some("http"), Some(_)) => Err(refused("tls_ca needs https")),
            (Some("http"), None)
                if self.token.is_some() && !self.insecure && !is_local_host(host) =>
            {
                Err(refused(
                    "the token would cross the network without TLS; \
                     hint: use https and tls_ca, or set insecure where the network itself is closed",
                ))
            }
            (Some("http"), None) => Ok(endpoint),
            _ => Err(refused("expected http(s)://host:port")),
        }
    }

    /// Returns a channel to `address` that connects at the first call and presents the token.
    ///
    /// # Errors
    /// As [`endpoint`](Self::endpoint).
    pub fn channel(&self, address: &str) -> Result<AuthChannel, AuthError> {
        let channel = self.endpoint(address)?.connect_lazy();
        Ok(InterceptedService::new(channel, self.bearer()))
    }

    /// Returns the TLS settings, for clients that build their endpoints themselves. Check each address
    /// with [`endpoint`](Self::endpoint) first.
    pub fn tls(&self) -> Option<&ClientTlsConfig> {
        self.tls.as_ref()
    }

    /// Returns the token, for clients that present it themselves.
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Returns the interceptor that presents the token.
    pub fn bearer(&self) -> Bearer {
        self.bearer.clone()
    }
}

/// Returns whether a URL's host is this machine: `localhost` or a loopback address.
pub fn is_local_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
