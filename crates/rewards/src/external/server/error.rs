//! Errors between a run and its reward servers.

use ddpo_delivery::reward::RewardCallError;
use ddpo_proto::convert::reward::MalformedReward;
use ddpo_proto::reward::Description;
use ddpo_service::auth::AuthError;
use ddpo_settings::environment::REWARD_CA;
use std::time::Duration;
use thiserror::Error;

/// Errors from reward servers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address is invalid.
    #[error("reward server: expected grpc://host:port, found {found:?}")]
    Address {
        /// The address.
        found: String,
    },
    /// The token would cross the network unencrypted.
    #[error(
        "reward server {address}: the token would cross the network without TLS; \
         hint: use grpcs:// and {ca}", ca = REWARD_CA
    )]
    OpenToken {
        /// The server.
        address: String,
    },
    /// Token or CA certificates cannot be used.
    #[error("reward server: {variable}: {source}")]
    Credentials {
        /// The environment variable that likely caused the error.
        variable: &'static str,
        /// The error.
        source: AuthError,
    },
    /// A server's answer cannot be used.
    #[error("reward server {address}: {source}")]
    Answer {
        /// The server.
        address: String,
        /// The error in the answer.
        source: RewardCallError,
    },
    /// Two servers describe different rewards.
    #[error("reward server {address}: expected {expected}, as {first} says, found {found}")]
    Differs {
        /// The server that differs.
        address: String,
        /// The server to compare with.
        first: String,
        /// The description of `first`.
        expected: Box<Description>,
        /// The description of `address`.
        found: Box<Description>,
    },
    /// An image cannot be sent.
    #[error("reward server: {0}")]
    Image(#[from] MalformedReward),
    /// No server answered in time.
    #[error("reward server {servers}: no answer for {} s; the last attempt: {reason}", waited.as_secs())]
    Gone {
        /// All servers.
        servers: String,
        /// The time waited.
        waited: Duration,
        /// The error of the last attempt.
        reason: String,
    },
    /// Scoring was cancelled.
    #[error("reward server {0}: stopped while waiting for it")]
    CalledOff(String),
    /// The client's thread could not be started.
    #[error("reward client: {0}")]
    Thread(std::io::Error),
    /// The client's thread ended.
    #[error("reward client: expected a running thread, found an ended one")]
    Lost,
}

impl ServerError {
    /// Returns whether the error is temporary: the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::CalledOff(_))
    }

    /// Returns whether a server returned a score that is not finite.
    pub fn is_not_finite(&self) -> bool {
        let Self::Answer { source: RewardCallError::Malformed(found), .. } = self else {
            return false;
        };
        matches!(found, MalformedReward::NotFinite { .. })
    }
}
