//! The run's specification: what samplers have to know besides weights.

use crate::error::BroadcastError;
use crate::lease::Lease;
use async_trait::async_trait;
use ddpo_rollout::order::RunSpec;

/// The stored specification of a run.
#[async_trait]
pub trait RunSpecs: Send + Sync {
    /// Stores the specification.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when the caller is no longer the learner,
    /// [`BroadcastError::Invalid`] when it is of another run; otherwise the store's failures.
    async fn put_run_spec(&self, lease: &Lease, spec: &RunSpec) -> Result<(), BroadcastError>;

    /// The stored specification.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] when it cannot be read; otherwise the store's failures.
    async fn run_spec(&self) -> Result<Option<RunSpec>, BroadcastError>;
}

pub(crate) fn check_run(run_id: &str, spec: &RunSpec) -> Result<(), BroadcastError> {
    if spec.run_id == run_id {
        return Ok(());
    }
    Err(BroadcastError::invalid("run of a specification", run_id, &spec.run_id))
}
