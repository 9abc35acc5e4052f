//! Errors of store operations: one enum, which services map to gRPC statuses in one place.

use crate::lease::{FenceToken, Holder};
use crate::manifest::{Manifest, ManifestError};
use crate::source::SourceError;
use ddpo_rollout::order::WeightsId;
use std::time::Duration;
use thiserror::Error;

/// Errors of a store operation.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BroadcastError {
    /// Redis was unreachable, or closed the connection, for longer than the configured patience.
    #[error("{action}: redis cannot be reached: {reason}")]
    Unavailable {
        /// The operation.
        action: &'static str,
        /// The error of the connection, without credentials.
        reason: String,
    },
    /// No answer arrived within the deadline.
    #[error("{action}: no answer within {after:?}")]
    Timeout {
        /// The operation.
        action: &'static str,
        /// The time waited.
        after: Duration,
    },
    /// Redis rejected the user, the password or a permission of the user.
    #[error(
        "{action}: redis refused the user, the password or the permission: {reason}; \
         hint: check the user, the password and the user's ACL"
    )]
    Refused {
        /// The operation.
        action: &'static str,
        /// The server's message, without credentials.
        reason: String,
    },
    /// Redis answers, but cannot do this at the moment.
    #[error("{action}: waiting for redis, which {state}: {reason}")]
    Waiting {
        /// The operation.
        action: &'static str,
        /// The state that has to end, such as "is loading its data".
        state: &'static str,
        /// The server's message, without credentials.
        reason: String,
    },
    /// A key of the run holds a value of another type.
    #[error(
        "{action}: a key of the run holds a value of another type: {reason}; \
         hint: the learner removes it; another program uses the prefix ddpo:"
    )]
    WrongType {
        /// The operation.
        action: &'static str,
        /// The server's message, without credentials.
        reason: String,
    },
    /// The answer, or a stored value, cannot be read.
    #[error("{action}: the answer of redis cannot be read: {reason}")]
    Unreadable {
        /// The operation.
        action: &'static str,
        /// The mistake, without credentials.
        reason: String,
    },
    /// Redis has no memory left for the write.
    #[error(
        "{action}: waiting for redis, which is out of memory; \
         hint: raise maxmemory, or keep fewer versions"
    )]
    OutOfMemory {
        /// The operation.
        action: &'static str,
    },
    /// The server answered with another error.
    #[error("{action}: redis answered with an error: {reason}")]
    Server {
        /// The operation.
        action: &'static str,
        /// The server's message, without credentials.
        reason: String,
    },
    /// Another owner holds the lease.
    #[error("the lease is held by {:?} with token {} for another {remaining:?}", holder.owner, holder.token)]
    LeaseHeld {
        /// The current holder.
        holder: Holder,
        /// Time until the lease lapses without renewal.
        remaining: Duration,
    },
    /// The caller's lease has lapsed, was deleted, or went to another owner. Nothing was written.
    #[error("the lease with token {token} is lost: {}", found_lease(found.as_ref()))]
    LostLease {
        /// The caller's token.
        token: FenceToken,
        /// The current holder, if any.
        found: Option<Holder>,
    },
    /// The offered weights are older than the current ones.
    #[error("expected weights no older than the current {current}, found {offered}")]
    NotNewer {
        /// The current weights.
        current: WeightsId,
        /// The offered weights.
        offered: WeightsId,
    },
    /// The weights, or a part of them, are not in the store.
    #[error("weights {id} are gone: {what} is missing")]
    Gone {
        /// The weights.
        id: WeightsId,
        /// The missing part.
        what: String,
    },
    /// A part of the weights does not match its digest.
    #[error("weights {id} are corrupt: {what}")]
    Corrupt {
        /// The weights.
        id: WeightsId,
        /// The part, with the expected and the found value.
        what: String,
    },
    /// A stored manifest is invalid.
    #[error("weights {id}: {source}")]
    Manifest {
        /// The weights.
        id: WeightsId,
        /// The mistake.
        source: ManifestError,
    },
    /// The tensors to publish cannot be read or are invalid.
    #[error("weights {id} cannot be published: {source}")]
    Source {
        /// The weights.
        id: WeightsId,
        /// The mistake.
        source: SourceError,
    },
    /// An entry of the queue is not an order of this run. It was removed from the queue.
    #[error("entry {entry} of the queue is not a work order, and was removed: {reason}")]
    MalformedOrder {
        /// Id of the entry in the queue.
        entry: String,
        /// The mistake.
        reason: String,
    },
    /// The caller has lost the order: another worker has claimed it, or it was removed.
    #[error(
        "order {order_id:?}: expected a delivery to {worker:?} in attempt {attempt}, found it claimed \
         by another worker or removed"
    )]
    LostOrder {
        /// The order.
        order_id: String,
        /// The calling worker.
        worker: String,
        /// The caller's attempt.
        attempt: u32,
    },
    /// An argument, or a stored value, is invalid.
    #[error("{what}: expected {expected}, found {found}")]
    Invalid {
        /// The name of the value.
        what: &'static str,
        /// The expected value.
        expected: String,
        /// The found value.
        found: String,
    },
}

impl BroadcastError {
    /// Returns whether repeating the call may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Timeout { .. }
                | Self::Waiting { .. }
                | Self::WrongType { .. }
                | Self::Unreadable { .. }
                | Self::OutOfMemory { .. }
        )
    }

    /// Returns whether a running service should try again for a limited time: the error is transient, or an
    /// administrator may be changing the password.
    pub fn may_heal(&self) -> bool {
        self.is_transient() || matches!(self, Self::Refused { .. })
    }

    /// Returns whether the stored weights are damaged or missing, so that publishing them again helps.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Gone { .. }
                | Self::Corrupt { .. }
                | Self::Manifest { .. }
                | Self::WrongType { .. }
        )
    }

    /// Returns whether the caller has lost the lease.
    pub fn is_lost_lease(&self) -> bool {
        matches!(self, Self::LostLease { .. })
    }

    /// Returns the error for a missing chunk.
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
