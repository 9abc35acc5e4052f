//! The record of one trajectory on the board.

use crate::clock::now_unix_ms;
use bytes::Bytes;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::{StateDtype, StateShape, TrajectoryHeader};
use std::sync::Arc;

/// The stage of a trajectory, as this service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// States are missing.
    Growing,
    /// All states have arrived.
    Complete,
    /// The trajectory has a score.
    Scored,
    /// The learner has accepted the trajectory.
    Accepted,
    /// An update has used the trajectory.
    Trained,
    /// The trajectory was rejected or abandoned.
    Rejected,
}

impl Stage {
    /// Returns whether the trajectory needs no more work in this service.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Trained | Self::Rejected)
    }
}

/// One trajectory. Cloning shares the state's bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// Id of the trajectory.
    pub trajectory_id: Arc<str>,
    /// Id of the run.
    pub run_id: Arc<str>,
    /// The worker that draws it.
    pub worker_id: Arc<str>,
    /// Purpose of the noise.
    pub purpose: Purpose,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Index within the epoch.
    pub sample: u32,
    /// Version of the weights.
    pub policy_version: u64,
    /// Timesteps.
    pub timesteps: Arc<[i64]>,
    /// Type of the states.
    pub dtype: StateDtype,
    /// Shape of the states.
    pub shape: StateShape,
    /// Current stage.
    pub stage: Stage,
    /// Number of received states minus one; 0 before the second.
    pub steps_done: usize,
    /// The latest state, while it is kept for an image.
    pub state: Option<Bytes>,
    /// Log-probabilities, once complete.
    pub log_probs: Vec<f32>,
    /// The score, once scored.
    pub score: Option<Score>,
    /// Reason for the rejection.
    pub reason: String,
    /// Time of the last change, in milliseconds since 1970.
    pub updated_unix_ms: u64,
}

impl Record {
    /// Creates a record from a header.
    pub fn new(trajectory_id: &str, run_id: &str, worker_id: &str, of: &TrajectoryHeader) -> Self {
        Self {
            trajectory_id: trajectory_id.into(),
            run_id: run_id.into(),
            worker_id: worker_id.into(),
            purpose: of.purpose,
            epoch: of.coordinates.epoch,
            sample: of.coordinates.sample,
            policy_version: of.policy_version.0,
            timesteps: Arc::clone(&of.timesteps),
            dtype: of.dtype,
            shape: of.shape,
            stage: Stage::Growing,
            steps_done: 0,
            state: None,
            log_probs: Vec::new(),
            score: None,
            reason: String::new(),
            updated_unix_ms: now_unix_ms(),
        }
    }
}
