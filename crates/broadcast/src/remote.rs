//! The store in Redis 7 (6.2 at least): what the three services share.
//!
//! A store has three connections: one for everything, one to wait for orders on, and one for
//! notices. Every step that the learner may do only while it holds the lease is one script that
//! compares the fencing token first.
//!
//! Configure the server with `maxmemory-policy noeviction`: what is evicted counts as lost, and the
//! learner would have to publish it again. Persistence is not needed.

mod config;
mod keys;
mod lease;
mod link;
mod notices;
mod orders;
mod publish;
mod scripts;
mod weights;

pub(crate) use config::check_run_id;
pub use config::{RedisConfig, RedisTls};

use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::retention::Retention;
use crate::run_spec::{RunSpecs, check_run};
use async_trait::async_trait;
use ddpo_rollout::order::RunSpec;
use keys::Keys;
use lease::settled;
use link::{Ask, Link};
use redis::Cmd;
use scripts::Scripts;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// A run's store in Redis. Share it in an `Arc`; several `next` on one store take turns.
pub struct RedisBroadcast {
    run_id: String,
    keys: Keys,
    scripts: Scripts,
    link: Link,
    waiting: Link,
    claim_after: Duration,
    retention: Retention,
    /// The greatest fencing token seen here: tokens grow even if Redis forgets within the
    /// millisecond that its clock counts in.
    highest: AtomicU64,
    notices: watch::Receiver<u64>,
    listener: AbortHandle,
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
        let waiting = Link::new(&client, &secrets, config, answer_in + orders::LONGEST_WAIT)?;
        let _: String = link.ask("connect", Ask::Command(&redis::cmd("PING"))).await?;
        let keys = Keys::new(&config.run_id);
        let (count, notices) = watch::channel(0);
        let patience = config.connect_timeout.max(answer_in);
        let listening = notices::listen(client, secrets, keys.notices(), patience, count);
        Ok(Self {
            run_id: config.run_id.clone(),
            keys,
            scripts: Scripts::new(),
            link,
            waiting,
            claim_after: config.claim_after,
            retention: config.retention,
            highest: AtomicU64::new(0),
            notices,
            listener: tokio::spawn(listening).abort_handle(),
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
        const PAUSE: Duration = Duration::from_millis(250);
        let deadline = Instant::now() + patience;
        let mut told = false;
        loop {
            match Self::connect(config).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    if !told {
                        tracing::warn!(%error, ?patience, "waiting for redis");
                    }
                    told = true;
                    sleep(PAUSE).await;
                }
                settled => return settled,
            }
        }
    }

    /// Refuses a caller that is no longer the learner.
    async fn check_lease(&self, lease: &Lease) -> Result<(), BroadcastError> {
        use crate::error::BroadcastError::LostLease;
        use crate::lease::Leases;
        match self.holder().await? {
            Some(holder) if holder.token == lease.token => Ok(()),
            found => Err(LostLease { token: lease.token, found }),
        }
    }
}

impl Drop for RedisBroadcast {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Debug for RedisBroadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroadcast").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl RunSpecs for RedisBroadcast {
    async fn put_run_spec(&self, lease: &Lease, spec: &RunSpec) -> Result<(), BroadcastError> {
        check_run(&self.run_id, spec)?;
        let text = serde_json::to_string(spec).map_err(|error| {
            BroadcastError::invalid("specification", "one that JSON can hold", error.to_string())
        })?;
        let mut script = self.scripts.put.key(self.keys.lease());
        script.key(self.keys.spec()).arg(lease.token.0).arg(text);
        let reply = self.link.ask("store the specification", Ask::Script(&script)).await?;
        settled(lease, reply).map(|_| ())
    }

    async fn run_spec(&self) -> Result<Option<RunSpec>, BroadcastError> {
        let command = Cmd::get(self.keys.spec());
        let text: Option<String> =
            self.link.ask("read the specification", Ask::Command(&command)).await?;
        let Some(text) = text else { return Ok(None) };
        let spec: RunSpec = serde_json::from_str(&text).map_err(|error| {
            BroadcastError::invalid("stored specification", "one of this form", error.to_string())
        })?;
        check_run(&self.run_id, &spec)?;
        Ok(Some(spec))
    }
}
