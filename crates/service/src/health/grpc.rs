//! grpc.health.v1.
//!
//! Implements the generated trait instead of using tonic-health's reporter: answers always show the
//! current state, and watch streams end with the drain, so they do not delay the server's end.

use crate::health::report::Report;
use futures::stream::{self, BoxStream, StreamExt};
use std::collections::BTreeSet;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Answers `Check` and `Watch`.
#[derive(Clone, Debug)]
pub struct HealthService {
    state: watch::Receiver<Report>,
    services: BTreeSet<String>,
}

impl HealthService {
    pub(super) fn new(state: watch::Receiver<Report>, services: &[&str]) -> Self {
        let whole = std::iter::once("");
        let services = services.iter().copied().chain(whole).map(str::to_owned).collect();
        Self { state, services }
    }
}

fn status(report: &Report) -> ServingStatus {
    if report.serving() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if self.services.contains(&request.get_ref().service) {
            Ok(Response::new(answer(status(&self.state.borrow()))))
        } else {
            Err(Status::not_found("no such service"))
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.services.contains(&request.get_ref().service);
        let follower = Follower { state: self.state.clone(), known, sent: None };
        let answers = stream::unfold(follower, |mut follower| async move {
            let status = follower.next().await?;
            Some((Ok(answer(status)), follower))
        });
        Ok(Response::new(answers.boxed()))
    }
}

struct Follower {
    state: watch::Receiver<Report>,
    known: bool,
    sent: Option<ServingStatus>,
}

impl Follower {
    /// Waits for a status that differs from the last; `None` when the service drains.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let (now, draining) = {
                let report = self.state.borrow_and_update();
                let status =
                    if self.known { status(&report) } else { ServingStatus::ServiceUnknown };
                (status, report.draining)
            };
            if self.sent != Some(now) {
                self.sent = Some(now);
                return Some(now);
            }
            if draining {
                return None;
            }
            self.state.changed().await.ok()?;
        }
    }
}
