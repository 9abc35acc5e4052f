//! The lease of the learner, with a fencing token (Kleppmann 2016, "How to do distributed
//! locking"): a holder that was paused past its lease may still believe in it, so each write is
//! compared with the newest token where it is stored, not where it is sent.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

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
