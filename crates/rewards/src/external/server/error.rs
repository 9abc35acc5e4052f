//! What can go wrong between a run and its reward servers.

use ddpo_delivery::reward::RewardCallError;
use ddpo_proto::convert::reward::MalformedReward;
use ddpo_proto::reward::Description;
use ddpo_service::auth::AuthError;
use ddpo_settings::environment::REWARD_CA;
use std::time::Duration;
use thiserror::Error;

/// Why a reward server gave no scores.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The transport refuses an address.
    #[error("reward server: expected grpc://host:port, found {found:?}")]
    Address {
        /// The address.
        found: String,
    },
    /// The token would cross the network for all to read.
    #[error(
        "reward server {address}: the token would cross the network without TLS; \
         hint: use grpcs:// and {ca}", ca = REWARD_CA
    )]
    OpenToken {
        /// The server.
        address: String,
    },
    /// Token or authorities cannot be used.
    #[error("reward server: {variable}: {source}")]
    Door {
        /// The environment's variable that is likely meant.
        variable: &'static str,
        /// What is wrong.
        source: AuthError,
    },
    /// A server has answered, and the answer cannot be used.
    #[error("reward server {address}: {source}")]
    Answer {
        /// The server.
        address: String,
        /// What it said.
        source: RewardCallError,
    },
    /// Two servers give different rewards.
    #[error("reward server {address}: expected {expected}, as {first} says, found {found}")]
    Differs {
        /// The server that differs.
        address: String,
        /// The one that it differs from.
        first: String,
        /// What that one says.
        expected: Box<Description>,
        /// What this one says.
        found: Box<Description>,
    },
    /// An image cannot be sent.
    #[error("reward server: {0}")]
    Image(#[from] MalformedReward),
    /// Nobody has answered for too long.
    #[error("reward server {servers}: no answer for {} s; the last attempt: {reason}", waited.as_secs())]
    Gone {
        /// All of them.
        servers: String,
        /// How long it was waited for.
        waited: Duration,
        /// What came of the last attempt.
        reason: String,
    },
    /// Somebody called it off.
    #[error("reward server {0}: stopped while waiting for it")]
    CalledOff(String),
    /// The client's thread could not be started.
    #[error("reward client: {0}")]
    Thread(std::io::Error),
    /// The client's thread has ended.
    #[error("reward client: expected scores, found a thread that has ended")]
    Lost,
}

impl ServerError {
    /// Whether it says nothing of the images: the same request may well be answered later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::CalledOff(_))
    }

    /// Whether a server gave a score that is no number.
    pub fn is_not_finite(&self) -> bool {
        let Self::Answer { source: RewardCallError::Malformed(found), .. } = self else {
            return false;
        };
        matches!(found, MalformedReward::NotFinite { .. })
    }
}
