//! The lease, in this process.

use super::{LocalBroadcast, unix_ms};
use crate::error::BroadcastError;
use crate::lease::{FenceToken, Holder, Lease, LeaseRequest, Leases, check_request};
use async_trait::async_trait;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct LeaseState {
    last: FenceToken,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    holder: Holder,
    until: Instant,
}

impl LeaseState {
    fn holder(&self) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.until > Instant::now())
    }

    /// Free, and with the next token still greater than the last.
    pub(super) fn forgotten(self) -> Self {
        Self { last: self.last, held: None }
    }

    /// Refuses a caller whose token is not the one that holds.
    pub(super) fn check(&self, lease: &Lease) -> Result<(), BroadcastError> {
        let found = self.holder().map(|held| held.holder.clone());
        match found {
            Some(holder) if holder.token == lease.token => Ok(()),
            found => Err(BroadcastError::LostLease { token: lease.token, found }),
        }
    }
}

#[async_trait]
impl Leases for LocalBroadcast {
    async fn acquire(&self, request: &LeaseRequest) -> Result<Lease, BroadcastError> {
        check_request(request)?;
        let mut state = self.locked();
        if let Some(held) = state.lease.holder()
            && held.holder.owner != request.owner
        {
            let remaining = held.until.saturating_duration_since(Instant::now());
            return Err(BroadcastError::LeaseHeld { holder: held.holder.clone(), remaining });
        }
        let token = state.lease.last.max(request.last_known).0.saturating_add(1).max(unix_ms());
        let token = FenceToken(token);
        let owner = request.owner.clone();
        state.lease.last = token;
        let until = Instant::now() + request.ttl;
        state.lease.held = Some(Held { holder: Holder { owner: owner.clone(), token }, until });
        Ok(Lease { owner, token, ttl: request.ttl })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), BroadcastError> {
        let mut state = self.locked();
        state.lease.check(lease)?;
        if let Some(held) = &mut state.lease.held {
            held.until = Instant::now() + lease.ttl;
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), BroadcastError> {
        let mut state = self.locked();
        state.lease.check(lease)?;
        state.lease.held = None;
        Ok(())
    }

    async fn holder(&self) -> Result<Option<Holder>, BroadcastError> {
        Ok(self.locked().lease.holder().map(|held| held.holder.clone()))
    }
}
