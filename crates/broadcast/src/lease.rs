//! The lease of the learner, with a fencing token (Kleppmann 2016, "How to do distributed
//! locking"). A holder that was paused past its lease may still believe in it, so Redis compares
//! every write with the newest token.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A fencing token. Grows strictly with each acquisition of the lease, even if Redis loses its
/// data: it is the maximum of the last token + 1, the store's clock in milliseconds, and the
/// greatest token known to the caller + 1.
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

/// The right to write, until it lapses or another owner acquires it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Name of the holder.
    pub owner: String,
    /// The token that every write carries.
    pub token: FenceToken,
    /// Duration of the lease after it was acquired or renewed.
    pub ttl: Duration,
}

/// A request for the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Name of the process, unique among processes. The current holder may acquire the lease again
    /// immediately, with a newer token.
    pub owner: String,
    /// Duration without renewal; at least a millisecond.
    pub ttl: Duration,
    /// The greatest token that the caller has seen, for example in a checkpoint; the new one is
    /// greater.
    pub last_known: FenceToken,
}

/// The current holder of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the process.
    pub owner: String,
    /// Its token.
    pub token: FenceToken,
}
