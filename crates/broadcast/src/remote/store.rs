//! The store: its connections and what all its parts share.

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

/// The longest wait before orders of silent workers are looked for again.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The pause between two attempts to connect at the start.
const PAUSE: Duration = Duration::from_millis(250);

/// A run's store in Redis. Share it in an `Arc`; several `next` on one store take turns.
pub struct RedisBroadcast {
    pub(super) run_id: String,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) link: Link,
    pub(super) waiting: Link,
    pub(super) claim_after: Duration,
    /// The greatest fencing token seen here: tokens grow even if Redis forgets within the
    /// millisecond that its clock counts in.
    pub(super) highest: AtomicU64,
}

impl RedisBroadcast {
    /// Connects, and waits for the server as long as the configured patience.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] for settings that make no sense, [`BroadcastError::Refused`]
    /// for a wrong user or password, [`BroadcastError::Unavailable`] or
    /// [`BroadcastError::Timeout`] when the server cannot be reached.
    pub async fn connect(config: &RedisConfig) -> Result<Self, BroadcastError> {
        let (client, secrets) = config.connection()?;
        let answer_in = config.response_timeout;
        let link = Link::new(&client, &secrets, config, answer_in)?;
        let waiting = Link::new(&client, &secrets, config, answer_in + LONGEST_WAIT)?;
        let _: String = link.ask("connect", Ask::Command(&redis::cmd("PING"))).await?;
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

    /// As [`connect`](Self::connect), for a service that may start before its Redis or together
    /// with it: tries again for `patience` while the server cannot be reached, and logs why once.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); the last failure, if the patience ends.
    pub async fn connect_within(
        config: &RedisConfig,
        patience: Duration,
    ) -> Result<Self, BroadcastError> {
        let deadline = Instant::now() + patience;
        let mut logged = false;
        (|| Self::connect(config))
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

impl fmt::Debug for RedisBroadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroadcast").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}
