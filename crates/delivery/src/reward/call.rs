//! Errors from calls to a reward server.

use crate::transport::causes;
use ddpo_proto::convert::reward::MalformedReward;
use ddpo_proto::convert::text::shown;
use std::error::Error;
use std::time::Duration;
use thiserror::Error;
use tonic::{Code, Status};

/// Largest part of a server's message to show (bytes).
const SHOWN_BYTES: usize = 512;

/// Errors from a call to a reward server.
#[derive(Debug, Error, PartialEq)]
pub enum RewardCallError {
    /// No answer: retry at the same or another server.
    #[error("{0}")]
    NoAnswer(String),
    /// The server at the address does not speak gRPC.
    #[error("expected a gRPC server, found something else: {0}")]
    NotGrpc(String),
    /// The server refused; a retry would fail as well.
    #[error("{}: {message}", named(*code))]
    Refused {
        /// Its status code.
        code: Code,
        /// Its message.
        message: String,
    },
    /// The answer is malformed.
    #[error(transparent)]
    Malformed(#[from] MalformedReward),
}

impl RewardCallError {
    /// Returns the error for a server that took longer than `limit`.
    pub fn overdue(limit: Duration) -> Self {
        Self::NoAnswer(format!("no answer within {} s", limit.as_secs_f64()))
    }
}

impl From<Status> for RewardCallError {
    fn from(status: Status) -> Self {
        // A status from the server has no source; a status with one was created locally when the
        // connection failed.
        let on_the_way = status.source().is_some();
        let message =
            if on_the_way { cause(&status) } else { shown(status.message(), SHOWN_BYTES) };
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::NoAnswer(message),
            // A violation of HTTP/2's rules: the peer does not speak HTTP/2.
            Code::Internal if on_the_way => Self::NotGrpc(message),
            _ if on_the_way => Self::NoAnswer(message),
            code => Self::Refused { code, message },
        }
    }
}

/// Returns the innermost cause of an error.
fn cause(status: &Status) -> String {
    let deepest = causes(status).last().map(ToString::to_string).unwrap_or_default();
    let words = match deepest {
        words if words.is_empty() => status.message().to_owned(),
        words => words,
    };
    shown(&words, SHOWN_BYTES)
}

/// Returns a status code's name in gRPC's documentation.
fn named(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_refusals_from_connection_failures() {
        let found = RewardCallError::from(Status::unavailable("restarting"));
        assert_eq!(found, RewardCallError::NoAnswer("restarting".into()));
        let found = RewardCallError::from(Status::internal("a\nb"));
        assert_eq!(found.to_string(), "INTERNAL: a b");
        let reset = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset");
        let found = RewardCallError::from(Status::from_error(Box::new(reset)));
        assert_eq!(found, RewardCallError::NoAnswer("reset".into()));
    }
}
