//! Errors of the operations on the store, in one enum that services map once.

use crate::lease::{FenceToken, Holder};
use crate::manifest::{Manifest, ManifestError};
use crate::source::SourceError;
use ddpo_rollout::order::WeightsId;
use std::time::Duration;
use thiserror::Error;

/// Why an operation of a store failed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BroadcastError {
    /// The store cannot be reached, or hung up; retries within the configured patience are spent.
    #[error("{action}: redis cannot be reached: {reason}")]
    Unavailable {
        /// What was being done.
        action: &'static str,
        /// What the connection said, without credentials.
        reason: String,
    },
    /// No answer came within the deadline.
    #[error("{action}: no answer within {after:?}")]
    Timeout {
        /// What was being done.
        action: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The store refused user, password or permission.
    #[error(
        "{action}: redis refused the user, the password or the permission: {reason}; \
         hint: check the user, the password and the user's ACL"
    )]
    Refused {
        /// What was being done.
        action: &'static str,
        /// What the server said, without credentials.
        reason: String,
    },
    /// The store has no memory left for the write.
    #[error("{action}: redis is out of memory; hint: raise maxmemory, or keep fewer versions")]
    OutOfMemory {
        /// What was being done.
        action: &'static str,
    },
    /// The server answered with an error that has no name of its own here.
    #[error("{action}: redis answered with an error: {reason}")]
    Server {
        /// What was being done.
        action: &'static str,
        /// What the server said, without credentials.
        reason: String,
    },
    /// Another owner holds the lease.
    #[error("the lease is held by {:?} with token {} for another {remaining:?}", holder.owner, holder.token)]
    LeaseHeld {
        /// Who holds it.
        holder: Holder,
        /// When it lapses unless it is renewed.
        remaining: Duration,
    },
    /// The lease of the caller has lapsed, was wiped, or went to another; nothing was written.
    #[error("the lease with token {token} is lost: {}", found_lease(found.as_ref()))]
    LostLease {
        /// The caller's token.
        token: FenceToken,
        /// Who holds the lease now.
        found: Option<Holder>,
    },
    /// Weights older than the current ones were offered as current.
    #[error("expected weights no older than the current {current}, found {offered}")]
    NotNewer {
        /// The current weights.
        current: WeightsId,
        /// What was offered.
        offered: WeightsId,
    },
    /// The weights, or a part of them, are no longer (or not yet) in the store.
    #[error("weights {id} are gone: {what} is missing")]
    Gone {
        /// The weights.
        id: WeightsId,
        /// Which part.
        what: String,
    },
    /// A part of the weights has other bytes than its digest says.
    #[error("weights {id} are corrupt: {what}")]
    Corrupt {
        /// The weights.
        id: WeightsId,
        /// Which part, what was expected and what was found.
        what: String,
    },
    /// A manifest in the store makes no sense.
    #[error("weights {id}: {source}")]
    Manifest {
        /// The weights.
        id: WeightsId,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The tensors to publish could not be read or make no sense.
    #[error("weights {id} cannot be published: {source}")]
    Source {
        /// The weights.
        id: WeightsId,
        /// What is wrong with them.
        source: SourceError,
    },
    /// An entry of the queue is no order of this run. It has been removed from the queue.
    #[error("entry {entry} of the queue is not a work order, and was removed: {reason}")]
    MalformedOrder {
        /// Name of the entry in the queue.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The order is no longer the caller's: another worker has claimed it, or it was removed.
    #[error("order {order_id:?} is no longer delivered to {worker:?} in attempt {attempt}")]
    LostOrder {
        /// The order.
        order_id: String,
        /// The caller.
        worker: String,
        /// The caller's attempt.
        attempt: u32,
    },
    /// A value that the caller gave, or that was found in the store, is not as it must be.
    #[error("{what}: expected {expected}, found {found}")]
    Invalid {
        /// What the value is.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl BroadcastError {
    /// Whether the same call may succeed later without anything else changing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }

    /// Whether the caller has stopped being the learner.
    pub fn is_lost_lease(&self) -> bool {
        matches!(self, Self::LostLease { .. })
    }

    /// The error for a chunk that is missing.
    pub(crate) fn gone(manifest: &Manifest, index: usize) -> Self {
        let (count, upload) = (manifest.chunks.len(), &manifest.upload);
        let what = format!("chunk {index} of {count} of upload {upload}");
        Self::Gone { id: manifest.id, what }
    }

    pub(crate) fn invalid(
        what: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Invalid { what, expected: expected.into(), found: found.into() }
    }
}

fn found_lease(found: Option<&Holder>) -> String {
    match found {
        Some(holder) => format!("{:?} holds it with token {}", holder.owner, holder.token),
        None => "nobody holds it".to_owned(),
    }
}
