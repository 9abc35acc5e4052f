//! Authentication and TLS of the commands that call a service: flags and a channel.

use anyhow::Result;
use clap::Args;
use ddpo_service::auth::{
    AuthChannel, ClientAuthSettings, ServerAuthSettings, WebAuth, install_crypto_provider,
};
use ddpo_settings::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Prefix of the services' variables. In a service's container, a command therefore needs no flags.
const PREFIX: &str = "DDPO_SERVICE_";

/// Authentication and TLS for calling a service. Missing flags default to the environment.
#[derive(Debug, Args)]
pub struct AuthFlags {
    /// File with the token (default: DDPO_SERVICE_TOKEN, or the file DDPO_SERVICE_TOKEN_FILE)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate authorities of the services (PEM); enables TLS
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Client certificate chain (PEM), for services that require one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Name in the service's certificate (default: the host of its address)
    #[arg(long, value_name = "NAME")]
    tls_domain: Option<String>,
    /// Send the token over the network without TLS
    #[arg(long)]
    insecure: bool,
}

impl AuthFlags {
    /// Returns a channel to `host:port`, with or without a scheme; it connects on first use.
    ///
    /// # Errors
    /// An unreadable or malformed file, or an address that does not match the other flags.
    pub fn channel(&self, address: &str) -> Result<AuthChannel> {
        install_crypto_provider();
        let auth = self.settings();
        let scheme = if auth.tls_ca.is_some() { "https" } else { "http" };
        let address = match address.contains("://") {
            true => address.to_owned(),
            false => format!("{scheme}://{address}"),
        };
        Ok(auth.open()?.channel(&address)?)
    }

    fn settings(&self) -> ClientAuthSettings {
        let (token, token_file) = match &self.token_file {
            Some(file) => (None, Some(file.clone())),
            None => (variable("TOKEN").map(Secret::new), file("TOKEN_FILE")),
        };
        let tls_ca = self.tls_ca.clone().or_else(|| file("TLS_CA"));
        // A service without tls_ca still has a certificate for its server.
        let client_file = |name| file(name).filter(|_| tls_ca.is_some());
        let (tls_cert, tls_key) = match &self.tls_cert {
            Some(certificate) => (Some(certificate.clone()), self.tls_key.clone()),
            None => (client_file("TLS_CERT"), client_file("TLS_KEY")),
        };
        ClientAuthSettings {
            token,
            token_file,
            tls_ca,
            tls_cert,
            tls_key,
            domain: self.tls_domain.clone().or_else(|| variable("TLS_DOMAIN")),
            insecure: self.insecure || is_insecure(),
        }
    }
}

/// Returns the auth settings of a page served at `listen`; errors name the flag `setting`. Token
/// and certificates come from the services' variables.
///
/// # Errors
/// An unreadable or malformed file, or a network address without authentication.
pub fn web_auth(setting: &'static str, listen: SocketAddr) -> Result<WebAuth> {
    install_crypto_provider();
    let settings = ServerAuthSettings {
        setting,
        listen,
        token: variable("TOKEN").map(Secret::new),
        token_file: file("TOKEN_FILE"),
        tls_cert: file("TLS_CERT"),
        tls_key: file("TLS_KEY"),
        tls_client_ca: file("TLS_CLIENT_CA"),
        insecure: is_insecure(),
    };
    Ok(settings.open_web()?)
}

fn is_insecure() -> bool {
    variable("INSECURE").as_deref() == Some("true")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("{PREFIX}{name}")).ok().filter(|value| !value.is_empty())
}

fn file(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}
