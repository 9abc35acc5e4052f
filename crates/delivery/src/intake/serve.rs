//! The tonic services of an intake.

use super::handler::IntakeHandler;
use super::session::Session;
use super::shared::Shared;
use crate::destination::Destination;
use ddpo_proto::convert::run::to_wire;
use ddpo_proto::wire::{
    DescribeRunRequest, DescribeRunResponse, SubmitReply, TrajectoryFrame, learner_server::Learner,
    rewarder_server::Rewarder,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The replies of one stream, as tonic sends them.
type Replies = ReceiverStream<Result<SubmitReply, Status>>;

/// The service `ddpo.v1.Rewarder` of an [`Intake`](super::Intake).
#[derive(Debug)]
pub struct RewarderIntake<H>(pub(super) Arc<Shared<H>>);

/// The service `ddpo.v1.Learner` of an [`Intake`](super::Intake).
#[derive(Debug)]
pub struct LearnerIntake<H>(pub(super) Arc<Shared<H>>);

#[tonic::async_trait]
impl<H: IntakeHandler> Rewarder for RewarderIntake<H> {
    type SubmitTrajectoriesStream = Replies;

    async fn submit_trajectories(
        &self,
        request: Request<Streaming<TrajectoryFrame>>,
    ) -> Result<Response<Replies>, Status> {
        accept(&self.0, request.into_inner(), Destination::Rewarder)
    }
}

#[tonic::async_trait]
impl<H: IntakeHandler> Learner for LearnerIntake<H> {
    type SubmitScoredTrajectoriesStream = Replies;

    async fn submit_scored_trajectories(
        &self,
        request: Request<Streaming<TrajectoryFrame>>,
    ) -> Result<Response<Replies>, Status> {
        accept(&self.0, request.into_inner(), Destination::Learner)
    }

    async fn describe_run(
        &self,
        _: Request<DescribeRunRequest>,
    ) -> Result<Response<DescribeRunResponse>, Status> {
        let run = self.0.handler.describe();
        let run =
            run.ok_or_else(|| Status::unavailable("the learner has not opened its run yet"))?;
        Ok(Response::new(to_wire(&run)))
    }
}

/// Starts a session for one stream.
fn accept<H: IntakeHandler>(
    shared: &Arc<Shared<H>>,
    frames: Streaming<TrajectoryFrame>,
    destination: Destination,
) -> Result<Response<Replies>, Status> {
    if *shared.draining.borrow() {
        return Err(Status::unavailable("the service is shutting down"));
    }
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let limit = shared.settings.max_streams;
        return Err(Status::resource_exhausted(format!("expected at most {limit} streams")));
    };
    let number = shared.next_stream.fetch_add(1, Ordering::Relaxed);
    // A small buffer of receipts and credits; when HTTP/2 stops reading it, the session waits.
    let (sender, replies) = mpsc::channel(64);
    let session = Session::new(shared, destination, number, sender);
    tokio::spawn(async move {
        session.run(frames).await;
        drop(permit);
    });
    Ok(Response::new(ReceiverStream::new(replies)))
}
