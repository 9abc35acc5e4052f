//! Domain types of a stream's messages: identity and header of a trajectory, its score, and its
//! receipt.

use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::TrajectoryHeader;
use std::fmt;

/// The identity of a trajectory: its run, its order, and the worker that drew it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrajectoryIdentity {
    /// Unique in the run, and the same for every draw of the same sample.
    pub trajectory_id: String,
    /// Id of the run.
    pub run_id: String,
    /// Id of the work order.
    pub order_id: String,
    /// The number of the order's delivery, from 1.
    pub attempt: u32,
    /// The worker that drew it.
    pub worker_id: String,
    /// Start time of that worker in milliseconds since 1970.
    pub incarnation: u64,
    /// The kind of weights; their version is in the header.
    pub track: Track,
    /// W3C trace context of the work order.
    pub traceparent: Option<String>,
}

/// The first message of a trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// Identity of the trajectory.
    pub identity: TrajectoryIdentity,
    /// Shape, dtype and steps.
    pub header: TrajectoryHeader,
}

impl Opening {
    /// Returns the id of the weights.
    pub fn weights(&self) -> WeightsId {
        WeightsId { version: self.header.policy_version, track: self.identity.track }
    }

    /// Returns the bytes of one state.
    pub fn state_bytes(&self) -> usize {
        self.header.shape.elements() * self.header.dtype.size()
    }

    /// Returns the number of states that the trajectory carries.
    pub fn state_count(&self) -> usize {
        self.header.kept_states.len()
    }
}

/// A score and the reward that it was given for.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenScore {
    /// The score of the reward model.
    pub score: Score,
    /// The reward.
    pub reward: RewardId,
}

/// The receiver's decision on a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The learner has accepted the trajectory.
    Accepted,
    /// The learner had already accepted the trajectory.
    Duplicate,
    /// The learner does not wait for the trajectory.
    Stale,
    /// The trajectory is malformed or does not match its order.
    Invalid,
    /// The receiver cannot accept the trajectory now; resend it.
    RetryLater,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Duplicate, Self::Stale, Self::Invalid, Self::RetryLater];

    /// Returns the name for metrics and logs.
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
    /// Id of the trajectory; empty if its header could not be read.
    pub trajectory_id: String,
    /// The decision.
    pub verdict: Verdict,
    /// The reason, unless the verdict is [`Verdict::Accepted`].
    pub reason: String,
}
