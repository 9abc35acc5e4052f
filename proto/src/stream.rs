//! What a trajectory stream carries, in the domain's terms: who sent what, whole trajectories, and
//! what became of them.

use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::TrajectoryHeader;
use std::fmt;

/// Which trajectory this is, and who made it for which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrajectoryIdentity {
    /// Unique in the run: the same sample of the same epoch always has the same.
    pub trajectory_id: String,
    /// The run.
    pub run_id: String,
    /// The work order that asked for it.
    pub order_id: String,
    /// How often the order had been handed out when this was made, from 1.
    pub attempt: u32,
    /// Who made it.
    pub worker_id: String,
    /// Start time of that worker in milliseconds since 1970.
    pub incarnation: u64,
    /// Which of the learner's weights made it; their version is in the header.
    pub track: Track,
    /// W3C trace context of the work order.
    pub traceparent: Option<String>,
}

/// What opens a trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// Which trajectory it is.
    pub identity: TrajectoryIdentity,
    /// How to read it.
    pub header: TrajectoryHeader,
}

impl Opening {
    /// The weights that made it.
    #[must_use]
    pub fn weights(&self) -> WeightsId {
        WeightsId { version: self.header.policy_version, track: self.identity.track }
    }

    /// Bytes of one state.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.header.shape.elements() * self.header.dtype.size()
    }

    /// T + 1.
    #[must_use]
    pub fn state_count(&self) -> usize {
        self.header.timesteps.len() + 1
    }
}

/// A score and the task that it was given for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskScore {
    /// What the reward model says.
    pub score: Score,
    /// The task.
    pub task: String,
}

/// What became of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The learner has it.
    Accepted,
    /// The learner had it already.
    Duplicate,
    /// Nobody waits for it any more.
    Stale,
    /// It is malformed or not what was ordered.
    Invalid,
    /// It could not be taken now; it is to be sent again.
    RetryLater,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Duplicate, Self::Stale, Self::Invalid, Self::RetryLater];

    /// Its name, as metrics and logs show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Invalid => "invalid",
            Self::RetryLater => "retry_later",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The receiver's answer to one trajectory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The trajectory; empty if its header could not be read.
    pub trajectory_id: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, for a verdict that is not [`Verdict::Accepted`].
    pub reason: String,
}
