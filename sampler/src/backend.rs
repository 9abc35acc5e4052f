//! What draws trajectories for the service: the model, or a stand-in without one.

use crate::engine::{Observer, Provenance, SampleError};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{Digest, SampleCoordinates, Trajectory, TrajectoryHeader};
use thiserror::Error;

/// One set of weights as it came over the network.
#[derive(Debug)]
pub struct ReceivedWeights {
    /// Which it is.
    pub id: WeightsId,
    /// Its digest, which the learner stated.
    pub digest: Digest,
    /// Names, shapes and values.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// Draws trajectories with the weights that were loaded last.
pub trait Backend: Send {
    /// Takes weights; they are used from the next call of [`Backend::generate`] on.
    ///
    /// # Errors
    /// [`BackendError`] names every tensor that does not fit; the weights before stay.
    fn load(&mut self, weights: &ReceivedWeights) -> Result<(), BackendError>;

    /// The weights that are loaded, and their digest.
    fn loaded(&self) -> Option<(WeightsId, Digest)>;

    /// The header of the trajectory of one sample.
    fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader;

    /// Draws one trajectory for each of `samples`, as one batch.
    ///
    /// # Errors
    /// [`BackendError`]; nothing of the batch is to be used.
    fn generate(
        &mut self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, BackendError>;
}

/// Why a backend could not do its work.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The run's configs cannot be used.
    #[error("sampler: run {run_id}: {reason}")]
    Run {
        /// The run.
        run_id: String,
        /// Why not.
        reason: String,
    },
    /// The transitions are not the learner's.
    #[error("sampler: the scheduler's digest is {found}, the learner's is {expected}")]
    Scheduler {
        /// The learner's.
        expected: Digest,
        /// Ours.
        found: Digest,
    },
    /// The tensors are not the model's.
    #[error("sampler: weights {id}: {reason}")]
    Weights {
        /// Which weights.
        id: WeightsId,
        /// What does not fit.
        reason: String,
    },
    /// There are no weights yet.
    #[error("sampler: no weights are loaded")]
    NoWeights,
    /// The draw failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
}
