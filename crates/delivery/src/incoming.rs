//! Whole trajectories, as they came off the wire.

use bytes::Bytes;
use ddpo_proto::stream::TrajectoryIdentity;
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{Trajectory, TrajectoryError, TrajectoryHeader};
use thiserror::Error;

/// A whole trajectory off the wire. Counts and sizes are right, values are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingTrajectory {
    /// Which trajectory it is.
    pub identity: TrajectoryIdentity,
    /// How to read it.
    pub header: TrajectoryHeader,
    /// The T + 1 states, x_T first, as they came.
    pub states: Vec<Bytes>,
    /// Log-probability of each random transition, mean over dimensions, in nats.
    pub log_probs: Vec<f32>,
    /// What the reward model says; there on the way to the learner only.
    pub score: Option<Score>,
    /// The task that it was scored for; there with the score.
    pub task: Option<String>,
}

/// Why a trajectory off the wire is not one that the learner can use.
#[derive(Debug, Error, PartialEq)]
pub enum NotScored {
    /// There is no score.
    #[error("trajectory: expected a score, found none")]
    NoScore,
    /// The parts do not fit each other.
    #[error(transparent)]
    Parts(#[from] TrajectoryError),
}

impl IncomingTrajectory {
    /// The domain's trajectory; the states are not copied.
    ///
    /// # Errors
    /// A value of a state that is not finite. Parts that do not fit each other are errors too, but the
    /// assembler lets nobody send them.
    pub fn into_trajectory(self) -> Result<Trajectory, TrajectoryError> {
        Trajectory::new(self.header, self.states, self.log_probs)
    }

    /// The domain's trajectory with its score; the states are not copied.
    ///
    /// # Errors
    /// No score, or what [`Self::into_trajectory`] refuses.
    pub fn into_scored(mut self) -> Result<ScoredTrajectory, NotScored> {
        let score = self.score.take().ok_or(NotScored::NoScore)?;
        Ok(ScoredTrajectory { trajectory: self.into_trajectory()?, score })
    }

    /// Bytes of all states.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.states.iter().map(Bytes::len).sum()
    }
}
