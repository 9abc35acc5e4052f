//! `SubmitReply` <-> [`Reply`]: receipts and credits.

use super::enumeration::enumeration;
use super::text::shown;
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::stream::{Receipt, Verdict};
use crate::wire;
use thiserror::Error;

/// A message of the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The receipt of the trajectory in a slot.
    Receipt {
        /// The slot, which is free again.
        slot: u32,
        /// The receipt.
        receipt: Receipt,
    },
    /// The number of additional trajectories that may be opened.
    Credit(u32),
}

/// Errors of a reply, after which its stream is invalid.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum MalformedReply {
    /// Neither a receipt nor a credit.
    #[error("reply: expected a receipt or a credit, found neither")]
    Empty,
    /// The verdict is unspecified or unknown.
    #[error(transparent)]
    Verdict(#[from] Malformed),
}

/// Converts a reply from the wire; cuts texts that exceed `limits`.
///
/// # Errors
/// A reply without content, or a verdict that is unspecified or unknown.
pub fn from_wire(message: wire::SubmitReply, limits: &Limits) -> Result<Reply, MalformedReply> {
    match message.content.ok_or(MalformedReply::Empty)? {
        wire::submit_reply::Content::Credit(credit) => Ok(Reply::Credit(credit.trajectories)),
        wire::submit_reply::Content::Receipt(receipt) => Ok(Reply::Receipt {
            slot: receipt.slot,
            receipt: Receipt {
                trajectory_id: shown(&receipt.trajectory_id, limits.max_text_bytes),
                verdict: verdict_from_wire("verdict", receipt.verdict)?,
                reason: shown(&receipt.reason, limits.max_reason_bytes),
            },
        }),
    }
}

/// Converts a reply to the wire; cuts texts that exceed `limits`.
pub fn to_wire(reply: &Reply, limits: &Limits) -> wire::SubmitReply {
    let content = match reply {
        Reply::Credit(trajectories) => {
            wire::submit_reply::Content::Credit(wire::CreditGrant { trajectories: *trajectories })
        }
        Reply::Receipt { slot, receipt } => wire::submit_reply::Content::Receipt(wire::Receipt {
            slot: *slot,
            trajectory_id: shown(&receipt.trajectory_id, limits.max_text_bytes),
            verdict: verdict_to_wire(receipt.verdict).into(),
            reason: shown(&receipt.reason, limits.max_reason_bytes),
        }),
    };
    wire::SubmitReply { content: Some(content) }
}

enumeration!(verdict_from_wire, verdict_to_wire: Verdict = Verdict {
    Accepted, Duplicate, Stale, Invalid, RetryLater
});
