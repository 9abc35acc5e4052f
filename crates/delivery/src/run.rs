//! The client of `DescribeRun`: asks the learner for the run's reward.

use crate::transport::{Bearer, causes};
use crate::uplink::{NotAnUplink, UplinkSettings};
use ddpo_proto::convert::run::{RunDescription, from_wire};
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::wire::DescribeRunRequest;
use ddpo_proto::wire::learner_client::LearnerClient;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// Errors from asking a learner for its run.
#[derive(Debug, Error)]
pub enum DescribeError {
    /// The learner is unreachable.
    #[error("learner {address}: {reason}")]
    Connect {
        /// Its address.
        address: String,
        /// The error of the connection.
        reason: String,
    },
    /// The learner does not answer in time.
    #[error("learner {address}: expected an answer within {limit:?}")]
    Overdue {
        /// Its address.
        address: String,
        /// The deadline.
        limit: Duration,
    },
    /// The learner refuses.
    #[error("learner {address}: {}: {}", status.code(), status.message())]
    Status {
        /// Its address.
        address: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// The answer is malformed.
    #[error("learner {address}: {source}")]
    Malformed {
        /// Its address.
        address: String,
        /// The first malformed field.
        source: Malformed,
    },
}

/// Asks several learners for the run; all except the active one are standbys, which refuse.
#[derive(Clone, Debug)]
pub struct RunClient {
    learners: Vec<(String, Endpoint)>,
    bearer: Bearer,
    limit: Duration,
    limits: Limits,
}

impl RunClient {
    /// Creates a client with the addresses and credentials of an uplink to the learner.
    ///
    /// # Errors
    /// [`NotAnUplink`].
    pub fn new(settings: &UplinkSettings) -> Result<Self, NotAnUplink> {
        let endpoints = settings.endpoints()?;
        let learners = settings.addresses.iter().cloned().zip(endpoints).collect();
        let bearer = settings.bearer()?;
        let (limit, limits) = (settings.connect_timeout, settings.limits.clone());
        Ok(Self { learners, bearer, limit, limits })
    }

    /// Returns the first description that a learner gives.
    ///
    /// # Errors
    /// [`DescribeError`] of the last learner, if none gives a description.
    pub async fn describe(&self) -> Result<RunDescription, DescribeError> {
        let mut last = None;
        for (address, endpoint) in &self.learners {
            match timeout(self.limit, self.ask(address, endpoint)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    let (address, limit) = (address.clone(), self.limit);
                    last = Some(DescribeError::Overdue { address, limit });
                }
            }
        }
        // The settings of an uplink contain an address.
        let reason = "expected an address, found none".to_owned();
        Err(last.unwrap_or(DescribeError::Connect { address: String::new(), reason }))
    }

    async fn ask(
        &self,
        address: &str,
        endpoint: &Endpoint,
    ) -> Result<RunDescription, DescribeError> {
        let address = || address.to_owned();
        let channel = endpoint.connect().await.map_err(|error| DescribeError::Connect {
            address: address(),
            reason: causes(&error).last().map(ToString::to_string).unwrap_or_default(),
        })?;
        let mut request = Request::new(DescribeRunRequest {});
        self.bearer.present(&mut request);
        let answer = LearnerClient::new(channel).describe_run(request).await;
        let answer = answer.map_err(|status| DescribeError::Status {
            address: address(),
            status: Box::new(status),
        })?;
        from_wire(answer.into_inner(), &self.limits)
            .map_err(|source| DescribeError::Malformed { address: address(), source })
    }
}
