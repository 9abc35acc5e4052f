//! Complete received trajectories.

use bytes::Bytes;
use ddpo_proto::stream::TrajectoryIdentity;
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{Trajectory, TrajectoryError, TrajectoryHeader};
use thiserror::Error;

/// A complete received trajectory. Counts and sizes are valid, values are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingTrajectory {
    /// Identity of the trajectory.
    pub identity: TrajectoryIdentity,
    /// Shape, dtype and steps.
    pub header: TrajectoryHeader,
    /// The T + 1 states, x_T first.
    pub states: Vec<Bytes>,
    /// Log-probability of each random transition, mean over dimensions, in nats.
    pub log_probs: Vec<f32>,
    /// The score; present only on the way to the learner.
    pub score: Option<Score>,
    /// The reward that gave the score; present with the score.
    pub reward: Option<RewardId>,
}

/// Errors from turning a received trajectory into a scored one.
#[derive(Debug, Error, PartialEq)]
pub enum IntoScoredError {
    /// The score is missing.
    #[error("trajectory: expected a score, found none")]
    NoScore,
    /// The parts do not match.
    #[error(transparent)]
    Parts(#[from] TrajectoryError),
}

impl IncomingTrajectory {
    /// Converts to the domain's trajectory without copying the states.
    ///
    /// # Errors
    /// A state value that is not finite. Parts that do not match are errors too, but the assembler
    /// rejects them earlier.
    pub fn into_trajectory(self) -> Result<Trajectory, TrajectoryError> {
        Trajectory::new(self.header, self.states, self.log_probs)
    }

    /// Converts to the domain's trajectory with its score, without copying the states.
    ///
    /// # Errors
    /// A missing score, and errors of [`Self::into_trajectory`].
    pub fn into_scored(mut self) -> Result<ScoredTrajectory, IntoScoredError> {
        let score = self.score.take().ok_or(IntoScoredError::NoScore)?;
        Ok(ScoredTrajectory { trajectory: self.into_trajectory()?, score })
    }

    /// Returns the bytes of all states.
    pub fn state_bytes(&self) -> usize {
        self.states.iter().map(Bytes::len).sum()
    }
}
