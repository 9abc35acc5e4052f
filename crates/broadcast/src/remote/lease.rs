//! The lease, in Redis.

use super::link::Ask;
use super::reply::{parse_token, settled, unexpected};
use super::scripts::millis;
use super::store::RedisBroadcast;
use crate::error::BroadcastError;
use crate::lease::{Holder, Lease, LeaseRequest};
use std::sync::atomic::Ordering;
use std::time::Duration;

impl RedisBroadcast {
    /// Acquires the lease if it is free, has lapsed, or belongs to the same owner.
    ///
    /// # Errors
    /// [`BroadcastError::LeaseHeld`] while another owner holds it; otherwise errors of Redis.
    pub async fn acquire(&self, request: &LeaseRequest) -> Result<Lease, BroadcastError> {
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

    /// Renews the lease for another [`Lease::ttl`] from now.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if it lapsed, was deleted or went to another owner.
    pub async fn renew(&self, lease: &Lease) -> Result<(), BroadcastError> {
        self.set_ttl("renew the lease", lease, millis(lease.ttl)).await
    }

    /// Releases the lease, so that another owner can acquire it immediately. Its token is not used
    /// again.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease.
    pub async fn release(&self, lease: &Lease) -> Result<(), BroadcastError> {
        self.set_ttl("release the lease", lease, 0).await
    }

    /// Returns the current holder of the lease.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn holder(&self) -> Result<Option<Holder>, BroadcastError> {
        let command = redis::Cmd::hmget(self.keys.lease(), &["owner", "token"]);
        let held: (Option<String>, Option<String>) =
            self.link.ask("read the lease", Ask::Command(&command)).await?;
        let (Some(owner), Some(token)) = held else { return Ok(None) };
        Ok(Some(Holder { owner, token: parse_token(&token)? }))
    }

    /// Returns an error if the caller has lost the lease.
    pub(super) async fn check_lease(&self, lease: &Lease) -> Result<(), BroadcastError> {
        match self.holder().await? {
            Some(holder) if holder.token == lease.token => Ok(()),
            found => Err(BroadcastError::LostLease { token: lease.token, found }),
        }
    }

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

fn check_request(request: &LeaseRequest) -> Result<(), BroadcastError> {
    if request.owner.is_empty() {
        return Err(BroadcastError::invalid("lease owner", "a name", "nothing"));
    }
    // Redis scripts count in doubles, which are exact up to here.
    if request.last_known.0 >= 1 << 53 {
        let found = request.last_known.to_string();
        return Err(BroadcastError::invalid("last known token", "less than 2^53", found));
    }
    if request.ttl < Duration::from_millis(1) {
        let found = format!("{:?}", request.ttl);
        return Err(BroadcastError::invalid("lease ttl", "at least 1 ms", found));
    }
    Ok(())
}
