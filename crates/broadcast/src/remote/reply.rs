//! Parses the replies of scripts.

use crate::error::BroadcastError;
use crate::lease::{FenceToken, Holder, Lease};
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::trajectory::PolicyVersion;

/// Returns the reply of a fenced script, or an error if the lease is lost.
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
    BroadcastError::invalid("reply of a script", "a known reply", format!("{found:?}"))
}

pub(super) fn parse_token(text: &str) -> Result<FenceToken, BroadcastError> {
    let invalid = |_| BroadcastError::invalid("fencing token", "a number", format!("{text:?}"));
    text.parse().map(FenceToken).map_err(invalid)
}

/// Parses the displayed form of [`WeightsId`].
pub(super) fn parse_id(text: &str) -> Result<WeightsId, BroadcastError> {
    let (number, track) = match text.strip_suffix("-average") {
        Some(number) => (number, Track::Average),
        None => (text, Track::Policy),
    };
    let version = number.strip_prefix('v').and_then(|number| number.parse().ok());
    let invalid = || BroadcastError::invalid("name of weights", "v1 or v1-average", text);
    Ok(WeightsId { version: PolicyVersion(version.ok_or_else(invalid)?), track })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_displayed_weights_ids() {
        for track in [Track::Policy, Track::Average] {
            let id = WeightsId { version: PolicyVersion(12), track };
            assert_eq!(parse_id(&id.to_string()).unwrap(), id);
        }
        for text in ["", "12", "v", "v-1", "v1-mean"] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }
}
