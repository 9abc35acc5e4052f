//! Authentication by the server: its address, its certificate, and the token that callers must
//! present.

use crate::auth::certificates::{self, Pair};
use crate::auth::error::AuthError;
use crate::auth::http2::{HANDSHAKE, HEADERS, KEEP_ALIVE};
use crate::auth::token::{self, TokenCheck};
use crate::connections::{ConnectionLimits, Connections};
use crate::metrics::Metrics;
use crate::settings::ServiceSettings;
use ddpo_delivery::transport;
use ddpo_settings::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tonic::service::InterceptorLayer;
use tonic::transport::{Server, ServerTlsConfig};
use tower_layer::{Identity, Stack};

/// A gRPC server that checks the token on every method.
pub type GuardedServer = Server<Stack<InterceptorLayer<TokenCheck>, Identity>>;

/// Settings of a port of a service.
#[derive(Clone, Debug)]
pub struct ServerAuthSettings {
    /// Name of the setting of the address, for messages.
    pub setting: &'static str,
    /// The address.
    pub listen: SocketAddr,
    /// The token that callers must present.
    pub token: Option<Secret>,
    /// A file that contains the token.
    pub token_file: Option<PathBuf>,
    /// The service's certificate chain (PEM).
    pub tls_cert: Option<PathBuf>,
    /// The service's private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// CA certificates of the clients (PEM); mutual TLS if set.
    pub tls_client_ca: Option<PathBuf>,
    /// Serves a network address without token or TLS.
    pub insecure: bool,
}

impl From<&ServiceSettings> for ServerAuthSettings {
    fn from(settings: &ServiceSettings) -> Self {
        let settings = settings.clone();
        Self {
            setting: "listen",
            listen: settings.listen,
            token: settings.token,
            token_file: settings.token_file,
            tls_cert: settings.tls_cert,
            tls_key: settings.tls_key,
            tls_client_ca: settings.tls_client_ca,
            insecure: settings.insecure,
        }
    }
}

impl ServerAuthSettings {
    /// Reads and checks the files that the settings name.
    ///
    /// # Errors
    /// [`AuthError`] names the setting, the file and the mistake.
    pub fn open(&self) -> Result<ServerAuth, AuthError> {
        let token = self.token()?;
        let tls = self.tls()?;
        self.require_token_and_tls(token.is_some(), tls.is_some())?;
        let (setting, listen) = (self.setting, self.listen);
        Ok(ServerAuth { setting, listen, tls, check: TokenCheck::new(token) })
    }

    /// Returns the token, if set.
    pub(super) fn token(&self) -> Result<Option<Secret>, AuthError> {
        token::resolve(self.token.as_ref(), self.token_file.as_deref())
    }

    /// Returns certificate chain and key, if set.
    pub(super) fn pair(&self) -> Result<Option<Pair>, AuthError> {
        let incomplete = |setting, missing| Err(AuthError::Incomplete { setting, missing });
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(certificate), Some(key), _) => Pair::read(certificate, key).map(Some),
            (Some(_), None, _) => incomplete("tls_cert", "tls_key"),
            (None, Some(_), _) => incomplete("tls_key", "tls_cert"),
            (None, None, Some(_)) => incomplete("tls_client_ca", "tls_cert and tls_key"),
            (None, None, None) => Ok(None),
        }
    }

    fn tls(&self) -> Result<Option<ServerTlsConfig>, AuthError> {
        let Some(pair) = self.pair()? else { return Ok(None) };
        let tls = ServerTlsConfig::new().identity(pair.identity()).timeout(HANDSHAKE);
        match &self.tls_client_ca {
            Some(path) => {
                Ok(Some(tls.client_ca_root(certificates::authorities("tls_client_ca", path)?)))
            }
            None => Ok(Some(tls)),
        }
    }

    pub(super) fn require_token_and_tls(&self, token: bool, tls: bool) -> Result<(), AuthError> {
        if (token && tls) || is_loopback(self.listen) {
            return Ok(());
        }
        let missing = match (token, tls) {
            (false, false) => "a token, and tls_cert and tls_key",
            (false, true) => "a token",
            _ => "tls_cert and tls_key",
        };
        if self.insecure {
            tracing::warn!(setting = self.setting, listen = %self.listen, missing, "insecure");
            return Ok(());
        }
        let (setting, listen) = (self.setting, self.listen);
        Err(AuthError::Open { setting, listen, missing: missing.into() })
    }
}

/// Returns whether the address is loopback, including `::ffff:127.0.0.1`.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A checked port.
#[derive(Clone, Debug)]
pub struct ServerAuth {
    setting: &'static str,
    listen: SocketAddr,
    tls: Option<ServerTlsConfig>,
    check: TokenCheck,
}

impl ServerAuth {
    /// Counts rejected callers as errors of the stage `auth`.
    #[must_use]
    pub fn counted(mut self, metrics: &Metrics) -> Self {
        self.check = self.check.counted(metrics.clone());
        self
    }

    /// Returns whether callers need TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns a server builder with TLS, a token check before every service, and HTTP/2 settings
    /// for large messages.
    ///
    /// # Errors
    /// [`AuthError::Tls`].
    pub fn server(&self) -> Result<GuardedServer, AuthError> {
        let mut server = transport::server(KEEP_ALIVE).http2_max_header_list_size(HEADERS);
        if let Some(tls) = &self.tls {
            server = server.tls_config(tls.clone()).map_err(tls_error)?;
        }
        Ok(server.layer(InterceptorLayer::new(self.check.clone())))
    }

    /// Opens the port before it returns. Its connections are bounded by `limits`.
    ///
    /// # Errors
    /// [`AuthError::Listen`].
    pub async fn bind(&self, limits: ConnectionLimits) -> Result<Connections, AuthError> {
        let (setting, listen) = (self.setting, self.listen);
        let listener = bind(setting, listen).await?;
        let failed = |error| AuthError::Listen { setting, listen, error };
        Connections::new(listener, limits).map_err(failed)
    }
}

/// Opens the port of `setting`.
pub(super) async fn bind(
    setting: &'static str,
    listen: SocketAddr,
) -> Result<TcpListener, AuthError> {
    let failed = |error| AuthError::Listen { setting, listen, error };
    TcpListener::bind(listen).await.map_err(failed)
}

pub(super) fn tls_error(error: tonic::transport::Error) -> AuthError {
    AuthError::Tls(transport::chain(&error))
}
