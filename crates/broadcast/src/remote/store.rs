//! The store: its connections and shared state.

use super::config::RedisConfig;
use super::keys::Keys;
use super::link::{Ask, Link};
use super::scripts::Scripts;
use crate::error::BroadcastError;
use backon::{ConstantBuilder, Retryable};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;

/// The longest wait before checking for orders of silent workers again.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Pause between attempts to connect at the start.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a starting service tries to connect before it logs the reason.
const UNLOGGED: Duration = Duration::from_secs(2);

/// A run's store in Redis. Share it in an `Arc`; concurrent calls of `next` take turns.
pub struct RedisBroadcast {
    pub(super) run_id: String,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) link: Link,
    pub(super) waiting: Link,
    pub(super) claim_after: Duration,
    /// The greatest fencing token seen by this process: tokens grow even if Redis loses its data
    /// within the same millisecond.
    pub(super) highest: AtomicU64,
}

impl RedisBroadcast {
    /// Connects, and retries for the configured patience.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] for invalid settings, a Sentinel or a Cluster, [`BroadcastError::Refused`] for a wrong
    /// user or password, [`BroadcastError::Unavailable`] or [`BroadcastError::Timeout`] if the
    /// server is unreachable.
    pub async fn connect(config: &RedisConfig) -> Result<Self, BroadcastError> {
        Self::connect_until(config, Instant::now() + config.patience).await
    }

    async fn connect_until(
        config: &RedisConfig,
        deadline: Instant,
    ) -> Result<Self, BroadcastError> {
        let (client, secrets) = config.connection()?;
        let answer_in = config.response_timeout;
        let link = Link::new(&client, &secrets, config, answer_in)?;
        let waiting = Link::new(&client, &secrets, config, answer_in + LONGEST_WAIT)?;
        let _: String =
            link.ask_until("connect", Ask::Command(&redis::cmd("PING")), deadline).await?;
        check_mode(&link).await?;
        let keys = Keys::new(&config.run_id);
        Ok(Self {
            run_id: config.run_id.clone(),
            keys,
            scripts: Scripts::new(),
            link,
            waiting,
            claim_after: config.claim_after,
            highest: AtomicU64::new(0),
        })
    }

    /// Does the same as [`connect`](Self::connect) for a service that may start before its Redis:
    /// retries for `patience` while the server is unreachable, and logs the reason once.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); the last failure after `patience`.
    pub async fn connect_within(
        config: &RedisConfig,
        patience: Duration,
    ) -> Result<Self, BroadcastError> {
        let deadline = Instant::now() + patience;
        let mut logged = false;
        (|| Self::connect_until(config, Instant::now() + UNLOGGED))
            .retry(ConstantBuilder::new().with_delay(PAUSE).without_max_times())
            .when(|error| error.is_transient() && Instant::now() < deadline)
            .notify(|error, _| {
                if !std::mem::replace(&mut logged, true) {
                    tracing::warn!(%error, ?patience, "waiting for redis");
                }
            })
            .await
    }
}

/// Refuses a Sentinel, which stores nothing, and a Cluster, whose servers send clients to each other. A
/// user without the permission to ask is not refused.
async fn check_mode(link: &Link) -> Result<(), BroadcastError> {
    let mut command = redis::cmd("INFO");
    command.arg("server");
    let Ok(found) = link.ask::<Vec<u8>>("connect", Ask::Command(&command)).await else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&found);
    let mode = text.lines().find_map(|line| line.strip_prefix("redis_mode:"));
    let found = match mode.map(str::trim) {
        Some("sentinel") => "a Sentinel; hint: give the address of the server that it watches",
        Some("cluster") => "a server of a Redis Cluster; hint: use a server outside of a cluster",
        _ => return Ok(()),
    };
    Err(BroadcastError::invalid("redis", "a single server", found))
}

impl fmt::Debug for RedisBroadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroadcast").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}
