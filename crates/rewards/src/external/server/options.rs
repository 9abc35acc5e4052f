//! Addresses, credentials and time limits of reward servers.

use crate::external::server::error::ServerError;
use ddpo_delivery::transport::{Bearer, KeepAlive, endpoint};
use ddpo_delivery::uplink::Backoff;
use ddpo_rollout::reward::{ServerAddress, Servers};
use ddpo_service::auth::{AuthError, ClientAuthSettings, install_crypto_provider, is_local_host};
use ddpo_settings::Secret;
use ddpo_settings::environment::{REWARD_CA, REWARD_TOKEN};
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::{ClientTlsConfig, Endpoint};

/// Rare pings, only during a call: gRPC servers in C++ and Python close connections after more than
/// two pings while they compute.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };

/// Credentials and time limits of reward servers.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Token, sent with every call as `authorization: Bearer`.
    pub token: Option<Secret>,
    /// CA certificates of the servers (PEM), for `grpcs://`.
    pub ca: Option<PathBuf>,
    /// Time limit for a connection.
    pub connecting: Duration,
    /// Time limit for a description.
    pub describing: Duration,
    /// Time limit for scoring one batch ([`Waiting::answer`](crate::external::waiting::Waiting)).
    pub scoring: Duration,
    /// Pauses between attempts at a server that does not answer.
    pub backoff: Backoff,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            token: None,
            ca: None,
            connecting: Duration::from_secs(5),
            describing: Duration::from_secs(10),
            scoring: Duration::from_secs(30),
            backoff: Backoff { longest: Duration::from_secs(2), ..Backoff::default() },
        }
    }
}

impl ServerOptions {
    /// Reads token and CA certificates from the environment.
    pub fn from_environment() -> Self {
        let value = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let token = value(REWARD_TOKEN).map(Secret::new);
        Self { token, ca: value(REWARD_CA).map(PathBuf::from), ..Self::default() }
    }

    /// Returns the endpoint of each server, and the credentials to present there.
    pub(super) fn ways(&self, servers: &Servers) -> Result<Ways, ServerError> {
        let url = |address: &ServerAddress| {
            let scheme = if servers.tls { "grpcs" } else { "grpc" };
            format!("{scheme}://{address}")
        };
        if let Some(open) = servers.addresses.iter().find(|address| !is_local_host(address.host()))
            && !servers.tls
            && self.token.is_some()
        {
            return Err(ServerError::OpenToken { address: url(open) });
        }
        let (tls, bearer) = self.credentials(servers.tls)?;
        let endpoints = servers.addresses.iter().map(|address| {
            let scheme = if servers.tls { "https" } else { "http" };
            let uri = format!("{scheme}://{address}");
            let made = endpoint(&uri, tls.as_ref(), self.connecting, KEEP_ALIVE);
            let made = made.map_err(|_| ServerError::Address { found: url(address) })?;
            Ok((url(address), made.keep_alive_while_idle(false)))
        });
        Ok(Ways { endpoints: endpoints.collect::<Result<_, ServerError>>()?, bearer })
    }

    fn credentials(&self, secure: bool) -> Result<(Option<ClientTlsConfig>, Bearer), ServerError> {
        let open = |token: Option<Secret>, tls_ca: Option<PathBuf>| {
            ClientAuthSettings { token, tls_ca, ..ClientAuthSettings::default() }.open()
        };
        let refused = |variable| move |source| ServerError::Credentials { variable, source };
        let presented = open(self.token.clone(), None).map_err(refused(REWARD_TOKEN))?;
        if !secure {
            return Ok((None, presented.bearer()));
        }
        install_crypto_provider();
        let Some(ca) = &self.ca else {
            let missing = AuthError::Incomplete { setting: "grpcs://", missing: REWARD_CA };
            return Err(refused(REWARD_CA)(missing));
        };
        let key = open(None, Some(ca.clone())).map_err(refused(REWARD_CA))?;
        Ok((key.tls().cloned(), presented.bearer()))
    }
}

/// Endpoints and credentials of the servers.
pub(super) struct Ways {
    /// Names for messages, and endpoints.
    pub(super) endpoints: Vec<(String, Endpoint)>,
    /// The bearer token to send.
    pub(super) bearer: Bearer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rollout::reward::RewardSource;

    fn refusal(options: &ServerOptions, address: &str) -> String {
        options.ways(&servers(address)).map(|_| ()).unwrap_err().to_string()
    }

    fn servers(text: &str) -> Servers {
        match text.parse() {
            Ok(RewardSource::Servers(servers)) => servers,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn sends_tokens_only_to_localhost_or_by_tls() {
        let token = Some(Secret::new("0123456789abcdef"));
        let options = ServerOptions { token, ..ServerOptions::default() };
        for address in ["grpc://127.0.0.1:1", "grpc://localhost:1", "grpc://[::1]:1"] {
            assert!(options.ways(&servers(address)).is_ok(), "{address}");
        }
        let found = refusal(&options, "grpc://example.org:1");
        assert!(found.contains("hint: use grpcs:// and DDPO_REWARD_CA"), "{found}");
        let found = refusal(&options, "grpcs://example.org:1");
        assert_eq!(found, "reward server: DDPO_REWARD_CA: grpcs:// needs DDPO_REWARD_CA");
        let token = Some(Secret::new("short"));
        let found = refusal(&ServerOptions { token, ..options }, "grpc://127.0.0.1:1");
        assert!(
            found.starts_with("reward server: DDPO_REWARD_TOKEN: token: 5 characters"),
            "{found}"
        );
    }
}
