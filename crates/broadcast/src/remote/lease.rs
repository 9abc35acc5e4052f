//! The lease, in Redis.

use super::RedisBroadcast;
use super::link::Ask;
use crate::error::BroadcastError;
use crate::lease::{FenceToken, Holder, Lease, LeaseRequest, Leases, check_request};
use async_trait::async_trait;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[async_trait]
impl Leases for RedisBroadcast {
    async fn acquire(&self, request: &LeaseRequest) -> Result<Lease, BroadcastError> {
        check_request(request)?;
        let mut script = self.scripts.acquire.prepare_invoke();
        script.key(self.keys.lease()).key(self.keys.fence());
        let last_known = self.highest.load(Ordering::Relaxed).max(request.last_known.0);
        script.arg(&request.owner).arg(millis(request.ttl)).arg(last_known);
        let reply: Vec<String> = self.link.ask("acquire the lease", Ask::Script(&script)).await?;
        let [status, token, rest @ ..] = &reply[..] else { return Err(unexpected(&reply)) };
        let token = parse_token(token)?;
        self.highest.fetch_max(token.0, Ordering::Relaxed);
        if status == "ok" {
            return Ok(Lease { owner: request.owner.clone(), token, ttl: request.ttl });
        }
        let [owner, remaining] = rest else { return Err(unexpected(&reply)) };
        let remaining = Duration::from_millis(remaining.parse().unwrap_or(0));
        let holder = Holder { owner: owner.clone(), token };
        Err(BroadcastError::LeaseHeld { holder, remaining })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), BroadcastError> {
        self.set_ttl("renew the lease", lease, millis(lease.ttl)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), BroadcastError> {
        self.set_ttl("release the lease", lease, 0).await
    }

    async fn holder(&self) -> Result<Option<Holder>, BroadcastError> {
        let command = redis::Cmd::hmget(self.keys.lease(), &["owner", "token"]);
        let held: (Option<String>, Option<String>) =
            self.link.ask("read the lease", Ask::Command(&command)).await?;
        let (Some(owner), Some(token)) = held else { return Ok(None) };
        Ok(Some(Holder { owner, token: parse_token(&token)? }))
    }
}

impl RedisBroadcast {
    async fn set_ttl(
        &self,
        action: &'static str,
        lease: &Lease,
        ttl_ms: u64,
    ) -> Result<(), BroadcastError> {
        let mut script = self.scripts.renew.key(self.keys.lease());
        script.arg(lease.token.0).arg(ttl_ms);
        let reply = self.link.ask(action, Ask::Script(&script)).await?;
        settled(lease, reply).map(|_| ())
    }
}

/// What a fenced script has answered: its status and the rest, unless the lease is lost.
pub(super) fn settled(lease: &Lease, reply: Vec<String>) -> Result<Vec<String>, BroadcastError> {
    if reply.first().is_some_and(|status| status == "lost") {
        let found = match &reply[1..] {
            [token, owner, ..] => Some(Holder { owner: owner.clone(), token: parse_token(token)? }),
            _ => None,
        };
        return Err(BroadcastError::LostLease { token: lease.token, found });
    }
    Ok(reply)
}

pub(super) fn unexpected(reply: &[String]) -> BroadcastError {
    let found: String = reply.join(" ").chars().take(200).collect();
    BroadcastError::invalid("answer of a script", "one that it gives", format!("{found:?}"))
}

pub(super) fn parse_token(text: &str) -> Result<FenceToken, BroadcastError> {
    let invalid = |_| BroadcastError::invalid("fencing token", "a number", format!("{text:?}"));
    text.parse().map(FenceToken).map_err(invalid)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 4)
}
