//! The receiving service of a stream.

use std::fmt;

/// The service that receives the trajectories of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// `Rewarder.SubmitTrajectories`: no scores.
    Rewarder,
    /// `Learner.SubmitScoredTrajectories`: a score with each trajectory.
    Learner,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rewarder => "rewarder",
            Self::Learner => "learner",
        })
    }
}
