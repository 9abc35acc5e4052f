//! Draws trajectories for the service: with the model, or with a test double.

use crate::engine::{Observer, Provenance, SampleError};
use ddpo_rollout::facts::{Misfit, TrajectoryFacts};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{Digest, SampleCoordinates, Trajectory, TrajectoryHeader};
use thiserror::Error;

/// One set of weights as received over the network.
#[derive(Debug)]
pub struct ReceivedWeights {
    /// Id of the weights.
    pub id: WeightsId,
    /// Digest that the learner stated.
    pub digest: Digest,
    /// Names, shapes and values.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// Draws trajectories with the most recently loaded weights.
pub trait Backend: Send {
    /// Loads weights, which the next call of [`Backend::generate`] uses.
    ///
    /// # Errors
    /// [`BackendError`] names every tensor that does not fit; the previous weights stay.
    fn load(&mut self, weights: &ReceivedWeights) -> Result<(), BackendError>;

    /// Returns the id and the digest of the loaded weights.
    fn loaded(&self) -> Option<(WeightsId, Digest)>;

    /// Returns the facts that each trajectory must match; `None` if the backend has no model.
    fn facts(&self) -> Option<&TrajectoryFacts> {
        None
    }

    /// Returns the header of one sample's trajectory.
    fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader;

    /// Draws one trajectory for each of `samples`, as one batch.
    ///
    /// # Errors
    /// [`BackendError`]; the whole batch is discarded.
    fn generate(
        &mut self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, BackendError>;
}

/// Errors of a backend.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The run's configs are invalid or not supported.
    #[error("sampler: run {run_id}: {reason}")]
    Run {
        /// Id of the run.
        run_id: String,
        /// The reason.
        reason: String,
    },
    /// The transitions differ from the learner's.
    #[error("sampler: the scheduler's digest is {found}, the learner's is {expected}")]
    Scheduler {
        /// The learner's digest.
        expected: Digest,
        /// The sampler's digest.
        found: Digest,
    },
    /// The tensors do not fit the model.
    #[error("sampler: weights {id}: {reason}")]
    Weights {
        /// Id of the weights.
        id: WeightsId,
        /// The tensors that do not fit.
        reason: String,
    },
    /// An order asks for a trajectory that does not fit the run.
    #[error("sampler: order: {0}")]
    Order(#[from] Misfit),
    /// No weights are loaded yet.
    #[error("sampler: no weights are loaded")]
    NoWeights,
    /// The draw failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
}
