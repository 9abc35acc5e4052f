//! The server's side: which address is served, to whom, with which certificate.

use crate::doors::error::DoorError;
use crate::doors::pem::{self, Pair};
use crate::doors::token::{self, TokenCheck};
use crate::doors::{
    CONNECTION_WINDOW, FRAME, HANDSHAKE, HEADERS, PING_AFTER, PING_ANSWER, STREAM_WINDOW,
};
use crate::metrics::Metrics;
use crate::settings::ServiceSettings;
use ddpo_settings::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tonic::service::InterceptorLayer;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tower_layer::{Identity, Stack};

/// A gRPC server that asks every method for the token.
pub type GuardedServer = Server<Stack<InterceptorLayer<TokenCheck>, Identity>>;

/// How a service may be reached.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Name of the setting that gives the address, as errors tell it.
    pub setting: &'static str,
    /// The address.
    pub listen: SocketAddr,
    /// The token that callers present.
    pub token: Option<Secret>,
    /// A file with it, instead.
    pub token_file: Option<PathBuf>,
    /// The service's certificate chain (PEM).
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// The authorities of the clients' certificates (PEM); clients need one where this is set.
    pub tls_client_ca: Option<PathBuf>,
    /// Serve an address of the network although a token or TLS is missing.
    pub insecure: bool,
}

impl From<&ServiceSettings> for DoorSettings {
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

impl DoorSettings {
    /// Reads and checks everything that the settings name.
    ///
    /// # Errors
    /// [`DoorError`] names the setting, the file and what is wrong with it.
    pub fn open(&self) -> Result<Door, DoorError> {
        let token = self.token()?;
        let tls = self.tls()?;
        self.refuse_an_open_door(token.is_some(), tls.is_some())?;
        let (setting, listen) = (self.setting, self.listen);
        Ok(Door { setting, listen, tls, check: TokenCheck::new(token) })
    }

    /// The token, if one is set.
    pub(super) fn token(&self) -> Result<Option<Secret>, DoorError> {
        token::resolve(self.token.as_ref(), self.token_file.as_deref())
    }

    /// Certificate chain and key, if they are set.
    pub(super) fn pair(&self) -> Result<Option<Pair>, DoorError> {
        let incomplete = |setting, missing| Err(DoorError::Incomplete { setting, missing });
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(certificate), Some(key), _) => Pair::read(certificate, key).map(Some),
            (Some(_), None, _) => incomplete("tls_cert", "tls_key"),
            (None, Some(_), _) => incomplete("tls_key", "tls_cert"),
            (None, None, Some(_)) => incomplete("tls_client_ca", "tls_cert and tls_key"),
            (None, None, None) => Ok(None),
        }
    }

    fn tls(&self) -> Result<Option<ServerTlsConfig>, DoorError> {
        let Some(pair) = self.pair()? else { return Ok(None) };
        let tls = ServerTlsConfig::new().identity(pair.identity()).timeout(HANDSHAKE);
        match &self.tls_client_ca {
            Some(path) => Ok(Some(tls.client_ca_root(pem::authorities("tls_client_ca", path)?))),
            None => Ok(Some(tls)),
        }
    }

    pub(super) fn refuse_an_open_door(&self, token: bool, tls: bool) -> Result<(), DoorError> {
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
        Err(DoorError::Open { setting, listen, missing: missing.into() })
    }
}

/// `::ffff:127.0.0.1` is loopback too.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A checked door.
#[derive(Clone, Debug)]
pub struct Door {
    setting: &'static str,
    listen: SocketAddr,
    tls: Option<ServerTlsConfig>,
    check: TokenCheck,
}

impl Door {
    /// Counts refused callers as errors of the stage `door`.
    #[must_use]
    pub fn counted(mut self, metrics: &Metrics) -> Self {
        self.check = self.check.counted(metrics.clone());
        self
    }

    /// Whether callers need TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A server builder with TLS, the token's check before every service, and the HTTP/2 settings
    /// that suit large messages.
    ///
    /// # Errors
    /// [`DoorError::Tls`].
    pub fn server(&self) -> Result<GuardedServer, DoorError> {
        let mut server = Server::builder()
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .http2_max_header_list_size(HEADERS)
            .http2_keepalive_interval(Some(PING_AFTER))
            .http2_keepalive_timeout(Some(PING_ANSWER));
        if let Some(tls) = &self.tls {
            server = server.tls_config(tls.clone()).map_err(tls_error)?;
        }
        Ok(server.layer(InterceptorLayer::new(self.check.clone())))
    }

    /// Listens; the port is taken when this returns. `local_addr` tells it where 0 was asked for.
    ///
    /// # Errors
    /// [`DoorError::Listen`].
    pub async fn bind(&self) -> Result<TcpIncoming, DoorError> {
        let listener = bind(self.setting, self.listen).await?;
        Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
    }
}

/// Listens on the address that `setting` gives.
pub(super) async fn bind(
    setting: &'static str,
    listen: SocketAddr,
) -> Result<TcpListener, DoorError> {
    let failed = |error| DoorError::Listen { setting, listen, error };
    TcpListener::bind(listen).await.map_err(failed)
}

pub(super) fn tls_error(error: tonic::transport::Error) -> DoorError {
    let error: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(error), |error| error.source());
    DoorError::Tls(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
