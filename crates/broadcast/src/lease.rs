//! The lease of the learner, with a fencing token (Kleppmann 2016, "How to do distributed
//! locking"): a holder that was paused past its lease may still believe in it, so each write is
//! compared with the newest token where it is stored, not where it is sent.

use crate::error::BroadcastError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Grows strictly with each acquisition of the lease, also across a loss of the store: it is the
/// greatest of the last token + 1, the store's clock in milliseconds, and the token after the
/// greatest one that the caller knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FenceToken(pub u64);

impl fmt::Display for FenceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to write, until it lapses or is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub owner: String,
    /// What every write is compared by.
    pub token: FenceToken,
    /// How long it lasts after it was acquired or renewed.
    pub ttl: Duration,
}

/// Who asks for the lease, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Name of the asking process, unique among processes: who holds the lease under this name may
    /// take it again at once, with a newer token.
    pub owner: String,
    /// How long it lasts without renewal; at least a millisecond.
    pub ttl: Duration,
    /// The greatest token that the caller has seen, as from a checkpoint; the new one is greater.
    pub last_known: FenceToken,
}

/// Who holds the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the process.
    pub owner: String,
    /// Its token.
    pub token: FenceToken,
}

/// The lease of a run.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease if it is free, lapsed, or held under the same owner.
    ///
    /// # Errors
    /// [`BroadcastError::LeaseHeld`] while another owner holds it; otherwise the store's failures.
    async fn acquire(&self, request: &LeaseRequest) -> Result<Lease, BroadcastError>;

    /// Lets the lease last another [`Lease::ttl`] from now.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when it lapsed, was wiped or went to another.
    async fn renew(&self, lease: &Lease) -> Result<(), BroadcastError>;

    /// Gives the lease up, so that another may have it at once. Its token is not given out again.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when it was no longer the caller's.
    async fn release(&self, lease: &Lease) -> Result<(), BroadcastError>;

    /// Who holds the lease.
    ///
    /// # Errors
    /// The store's failures.
    async fn holder(&self) -> Result<Option<Holder>, BroadcastError>;
}

/// Asks for the lease until it is given or `deadline` has passed.
///
/// # Errors
/// As [`Leases::acquire`], of the last attempt.
pub async fn acquire_by(
    leases: &dyn Leases,
    request: &LeaseRequest,
    deadline: Instant,
) -> Result<Lease, BroadcastError> {
    const PAUSE: Duration = Duration::from_millis(250);
    loop {
        let error = match leases.acquire(request).await {
            Ok(lease) => return Ok(lease),
            Err(error) => error,
        };
        let wait = match &error {
            BroadcastError::LeaseHeld { remaining, .. } => PAUSE.min(*remaining),
            error if error.is_transient() => PAUSE,
            _ => return Err(error),
        };
        let again = Instant::now() + wait.max(Duration::from_millis(5));
        if again >= deadline {
            return Err(error);
        }
        sleep_until(again).await;
    }
}

pub(crate) fn check_request(request: &LeaseRequest) -> Result<(), BroadcastError> {
    if request.owner.is_empty() {
        return Err(BroadcastError::invalid("lease owner", "a name", "nothing"));
    }
    // The store's scripts count in doubles, which are exact up to here.
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
