//! Settings of the connection to Redis.

use crate::error::BroadcastError;
use redis::{ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use std::fmt;
use std::time::Duration;

/// The address of Redis, credentials and timeouts.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis://` or `rediss://` (TLS), with or without user and password, or `unix://` with the path of a
    /// socket. Valkey's schemes work too.
    pub url: String,
    /// Password; overrides the URL's.
    pub password: Option<String>,
    /// Certificates for `rediss://`; by default the system's authorities are trusted.
    pub tls: RedisTls,
    /// Id of the run. Every key contains it, so runs that share a Redis do not interfere. 1 to 128
    /// letters, digits, `.`, `_` or `-`.
    pub run_id: String,
    /// Longest time of one attempt to connect.
    pub connect_timeout: Duration,
    /// Longest wait for one answer, such as to a write of 4 MiB.
    pub response_timeout: Duration,
    /// How long to retry an operation while Redis is unreachable.
    pub patience: Duration,
    /// Silence of a worker after which another may claim its order.
    pub claim_after: Duration,
}

/// Certificates in PEM form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The authority to trust instead of the system's.
    pub authority: Option<Vec<u8>>,
    /// Certificate and key to present to the server.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisConfig {
    /// How long a starting service waits for a Redis that starts at the same time and may have data
    /// to load.
    pub const STARTUP_PATIENCE: Duration = Duration::from_secs(60);

    /// Returns the defaults for this server and run.
    pub fn new(url: impl Into<String>, run_id: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            tls: RedisTls::default(),
            run_id: run_id.into(),
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(15),
            claim_after: Duration::from_secs(3),
        }
    }

    /// Returns the client, and the secrets that messages must not show.
    pub(super) fn connection(&self) -> Result<(redis::Client, Secrets), BroadcastError> {
        check_run_id(&self.run_id)?;
        let url = redis::parse_redis_url(&self.url).ok_or_else(|| not_an_url(&self.url))?;
        if url.host_str().is_some_and(|host| host.contains(',')) {
            return Err(BroadcastError::invalid("redis url", SHOWN, "several hosts"));
        }
        let encoded = url.password().map(str::to_owned);
        let secure = matches!(url.scheme(), "rediss" | "valkeys");
        let info = url.into_connection_info().map_err(|error| {
            // These messages name a part of the URL and quote none.
            BroadcastError::invalid("redis url", SHOWN, error.to_string())
        })?;
        let info = self.with_credentials(info);
        let decoded = info.redis_settings().password().map(str::to_owned);
        let secrets = Secrets(encoded.into_iter().chain(decoded).collect());
        let client = if secure { self.secure(info) } else { redis::Client::open(info) };
        let client = client.map_err(|error| {
            let found = secrets.hide(&error.to_string());
            BroadcastError::invalid("redis settings", "valid settings", found)
        })?;
        Ok((client, secrets))
    }

    fn with_credentials(&self, info: ConnectionInfo) -> ConnectionInfo {
        let mut redis = info.redis_settings().clone();
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        // With keep-alive the kernel detects a vanished peer earlier than after its default of 15
        // minutes.
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(self.response_timeout);
        info.set_redis_settings(redis).set_tcp_settings(tcp)
    }

    fn secure(&self, info: ConnectionInfo) -> redis::RedisResult<redis::Client> {
        // rustls panics when several providers are linked in and none is installed. Installing
        // fails only if another thread was faster, which is harmless.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client_tls = self.tls.identity.clone();
        let client_tls =
            client_tls.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let root_cert = self.tls.authority.clone();
        redis::Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls").finish_non_exhaustive()
    }
}

/// Texts that no message may show.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Replaces every secret in the text.
    pub(super) fn hide(&self, text: &str) -> String {
        let secrets = self.0.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// The form of a URL, for messages.
const SHOWN: &str = "redis://[user:password@]host[:port][/db], rediss:// for TLS, or \
                     unix:///socket[?db=&user=&pass=], with ?, #, / and @ of a password written as \
                     %3F, %23, %2F and %40";

/// Returns the error for a text that is not the URL of one server. Does not quote it, because it may
/// contain a password.
fn not_an_url(text: &str) -> BroadcastError {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let found = match scheme {
        scheme if scheme.contains("sentinel") => "a Redis Sentinel, which is not supported",
        scheme if scheme.contains("cluster") => "a Redis Cluster, which is not supported",
        _ => "something else",
    };
    BroadcastError::invalid("redis url", SHOWN, found)
}

fn check_run_id(run_id: &str) -> Result<(), BroadcastError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=128).contains(&run_id.len()) && run_id.chars().all(allowed) {
        return Ok(());
    }
    let found: String = run_id.chars().take(140).collect();
    let expected = "1 to 128 letters, digits, dots, underscores or hyphens";
    Err(BroadcastError::invalid("run id", expected, format!("{found:?}")))
}
