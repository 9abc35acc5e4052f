//! The tonic services of an intake.

use super::{Intake, IntakeHandler, Replies};
use crate::destination::Destination;
use ddpo_proto::wire::{TrajectoryFrame, learner_server::Learner, rewarder_server::Rewarder};
use tonic::{Request, Response, Status, Streaming};

/// The service `ddpo.v1.Rewarder` of an [`Intake`].
#[derive(Debug)]
pub struct RewarderIntake<H>(pub(super) Intake<H>);

/// The service `ddpo.v1.Learner` of an [`Intake`].
#[derive(Debug)]
pub struct LearnerIntake<H>(pub(super) Intake<H>);

#[tonic::async_trait]
impl<H: IntakeHandler> Rewarder for RewarderIntake<H> {
    type SubmitTrajectoriesStream = Replies;

    async fn submit_trajectories(
        &self,
        request: Request<Streaming<TrajectoryFrame>>,
    ) -> Result<Response<Replies>, Status> {
        self.0.accept(request.into_inner(), Destination::Rewarder)
    }
}

#[tonic::async_trait]
impl<H: IntakeHandler> Learner for LearnerIntake<H> {
    type SubmitScoredTrajectoriesStream = Replies;

    async fn submit_scored_trajectories(
        &self,
        request: Request<Streaming<TrajectoryFrame>>,
    ) -> Result<Response<Replies>, Status> {
        self.0.accept(request.into_inner(), Destination::Learner)
    }
}
