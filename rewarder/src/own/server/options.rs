//! Where reward servers are, how they are reached, and how long an answer may take.

use super::error::ServerError;
use ddpo_proto::transport::{KeepAlive, endpoint};
use ddpo_proto::uplink::Backoff;
use ddpo_service::auth::{AuthError, ClientAuthSettings, install_crypto_provider, is_local_host};
use ddpo_settings::Secret;
use ddpo_settings::environment::{REWARD_CA, REWARD_TOKEN};
use std::path::PathBuf;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{ClientTlsConfig, Endpoint, Uri};

/// The environment's variable that names the authorities.
pub(super) const CA: &str = REWARD_CA;

/// Seldom, and only during a call: gRPC's servers in C++ and Python cut off who pings them more than
/// twice while they compute.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };

/// How reward servers are reached, and how long an answer may take.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Presented with every call as `authorization: Bearer`.
    pub token: Option<Secret>,
    /// Authorities of the servers' certificates (PEM), for `grpcs://`.
    pub ca: Option<PathBuf>,
    /// Longest time that a connection may take.
    pub connecting: Duration,
    /// Longest time that a server may take to say what it is.
    pub describing: Duration,
    /// Longest time that it may take to score one batch.
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
    /// Token and authorities as the environment has them.
    #[must_use]
    pub fn from_environment() -> Self {
        let value = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let token = value(REWARD_TOKEN).map(Secret::new);
        Self { token, ca: value(REWARD_CA).map(PathBuf::from), ..Self::default() }
    }

    /// The way to each address, and what to present there.
    pub(super) fn ways(&self, addresses: &[String]) -> Result<Ways, ServerError> {
        let addresses = addresses.iter().map(|text| Address::parse(text));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(ServerError::Address { found: String::new() });
        }
        if let Some(open) = addresses.iter().find(|one| !one.secure && !one.is_local())
            && self.token.is_some()
        {
            return Err(ServerError::OpenToken { address: open.to_string() });
        }
        let secure = addresses.iter().any(|address| address.secure);
        let (tls, authorization) = self.door(secure)?;
        let endpoints = addresses.into_iter().map(|address| {
            let tls = tls.as_ref().filter(|_| address.secure);
            let made = endpoint(&address.url(), tls, self.connecting, KEEP_ALIVE);
            let made = made.map_err(|_| ServerError::Address { found: address.to_string() })?;
            Ok((address.to_string(), made.keep_alive_while_idle(false)))
        });
        Ok(Ways { endpoints: endpoints.collect::<Result<_, ServerError>>()?, authorization })
    }

    fn door(&self, secure: bool) -> Result<(Option<ClientTlsConfig>, Authorization), ServerError> {
        let door = |token: Option<Secret>, tls_ca: Option<PathBuf>| {
            ClientAuthSettings { token, tls_ca, ..ClientAuthSettings::default() }.open()
        };
        let refused = |variable| move |source| ServerError::Door { variable, source };
        let presented = door(self.token.clone(), None).map_err(refused(REWARD_TOKEN))?;
        let authorization = match presented.token() {
            Some(token) => {
                let value = format!("Bearer {}", token.expose()).parse::<MetadataValue<Ascii>>();
                let unfit = |_| AuthError::Token("expected visible ASCII characters only".into());
                let mut value = value.map_err(unfit).map_err(refused(REWARD_TOKEN))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        if !secure {
            return Ok((None, authorization));
        }
        install_crypto_provider();
        let Some(ca) = &self.ca else {
            let missing = AuthError::Incomplete { setting: "grpcs://", missing: REWARD_CA };
            return Err(refused(REWARD_CA)(missing));
        };
        let key = door(None, Some(ca.clone())).map_err(refused(REWARD_CA))?;
        Ok((key.tls().cloned(), authorization))
    }
}

type Authorization = Option<MetadataValue<Ascii>>;

/// The way to each server.
pub(super) struct Ways {
    /// Names for messages, and endpoints.
    pub(super) endpoints: Vec<(String, Endpoint)>,
    /// What to present.
    pub(super) authorization: Authorization,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    secure: bool,
    place: String,
}

impl Address {
    /// Reads `grpc://host:port`, `grpcs://host:port` or `host:port`; `http` and `https` mean the same.
    fn parse(text: &str) -> Result<Self, ServerError> {
        let (secure, place) = match text.split_once("://") {
            Some(("grpc" | "http", place)) => (false, place),
            Some(("grpcs" | "https", place)) => (true, place),
            None => (false, text),
            Some(_) => return Err(ServerError::Address { found: text.to_owned() }),
        };
        let address = Self { secure, place: place.to_owned() };
        let uri = address.url().parse::<Uri>().ok();
        // A path, a query or a user would be passed over in silence.
        let whole = uri.filter(|uri| {
            let port = uri.port_u16().is_some_and(|port| port > 0);
            let host = uri.host().is_some_and(|host| !host.is_empty()) && !place.contains('@');
            port && host && uri.authority().is_some_and(|all| all.as_str() == place)
        });
        match whole {
            Some(_) => Ok(address),
            None => Err(ServerError::Address { found: text.to_owned() }),
        }
    }

    fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.place)
    }

    /// Whether it stays on this machine.
    fn is_local(&self) -> bool {
        let host = self.place.rsplit_once(':').map_or(self.place.as_str(), |(host, _)| host);
        is_local_host(host)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}", if self.secure { "grpcs" } else { "grpc" }, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: &ServerOptions, address: &str) -> String {
        options.ways(&[address.to_owned()]).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn an_address_has_a_host_and_a_port_and_nothing_else() {
        for text in ["grpc://127.0.0.1:50060", "grpc://[::1]:1", "grpc://a.b-c:65535"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse("host:1").unwrap().to_string(), "grpc://host:1");
        assert_eq!(Address::parse("https://host:1").unwrap().to_string(), "grpcs://host:1");
        for text in ["", "grpc://", "grpc://host", "grpc://host:0", "grpc://:1", "ftp://host:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in ["grpc://host:99999", "grpc://host:1/path", "grpc://me@host:1", "grpc://a b:1"]
        {
            let expected = "reward servers: expected grpc://host:port,host:port, found ";
            assert_eq!(refusal(&ServerOptions::default(), text), format!("{expected}{text:?}"));
        }
    }

    #[test]
    fn a_token_stays_on_this_machine_or_goes_by_tls() {
        let token = Some(Secret::new("0123456789abcdef"));
        let options = ServerOptions { token, ..ServerOptions::default() };
        for address in ["grpc://127.0.0.1:1", "grpc://localhost:1", "grpc://[::1]:1"] {
            assert!(options.ways(&[address.to_owned()]).is_ok(), "{address}");
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
