//! The door of a service, as the commands that ask one go through it: their flags, and a channel.

use anyhow::Result;
use clap::Args;
use ddpo_service::auth::{
    AuthChannel, ClientAuthSettings, ServerAuthSettings, WebAuth, install_crypto_provider,
};
use ddpo_settings::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Prefix of the variables that the services take the same settings from: in a service's own
/// container, a command needs no flags.
const PREFIX: &str = "DDPO_SERVICE_";

/// What opens a service's door. What no flag says, the environment may.
#[derive(Debug, Args)]
pub struct AuthFlags {
    /// File with the token; the environment's DDPO_SERVICE_TOKEN or DDPO_SERVICE_TOKEN_FILE without it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities of the services' certificates (PEM); TLS with it
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Own certificate chain (PEM), for services that ask for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Name in the service's certificate; the host of its address without it
    #[arg(long, value_name = "NAME")]
    tls_domain: Option<String>,
    /// Send the token over the network without TLS
    #[arg(long)]
    insecure: bool,
}

impl AuthFlags {
    /// A channel to `host:port`, with or without a scheme; it connects when it is first used.
    ///
    /// # Errors
    /// A file that is not what it should be, or an address that does not fit the other flags.
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
        // A service without tls_ca still has a certificate for its own server.
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

/// The door of a page that this program serves at `listen`, as the `setting` of this name says. The
/// token and the rest come from where a service has them from.
///
/// # Errors
/// A file that is not what it should be, or an address of the network with nothing to guard it.
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
