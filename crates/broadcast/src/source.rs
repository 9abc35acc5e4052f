//! The source of weights to publish: the learner's f32 tensors, read one at a time. They may be on
//! a device, and are never all copied.

use crate::manifest::{TensorShape, WireDtype};
use bytes::Bytes;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::Digest;
use std::sync::Arc;
use thiserror::Error;

/// f32 tensors in a fixed order. Read on a thread that may block.
pub trait TensorSource: Send + Sync {
    /// Returns names and shapes; their order gives the indices of [`TensorSource::values`].
    fn tensors(&self) -> Vec<TensorShape>;

    /// Returns the values of tensor `index`, f32, little endian, row-major.
    ///
    /// # Errors
    /// [`SourceError::Unreadable`] if they cannot be read.
    fn values(&self, index: usize) -> Result<Bytes, SourceError>;
}

/// Errors of tensors to publish.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SourceError {
    /// The values of a tensor cannot be read.
    #[error("tensor {name:?} cannot be read: {reason}")]
    Unreadable {
        /// The tensor.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The number of bytes does not match the shape.
    #[error("tensor {name:?} of shape {shape:?}: expected {expected} bytes of f32, found {found}")]
    Size {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes according to the shape.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A name occurs twice.
    #[error("tensor {0:?}: expected once, found twice")]
    Twice(String),
    /// Reading was interrupted.
    #[error("reading the tensors was interrupted: {0}")]
    Interrupted(String),
}

/// A tensor in host memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor {
    /// Name and shape.
    pub tensor: TensorShape,
    /// Its values, f32, little endian, row-major.
    pub values: Bytes,
}

impl HostTensor {
    /// Creates a tensor from a copy of these values.
    pub fn new(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = TensorShape { name: name.into(), shape: shape.to_vec() };
        Self { tensor, values: bytes.into() }
    }
}

impl TensorSource for Vec<HostTensor> {
    fn tensors(&self) -> Vec<TensorShape> {
        self.iter().map(|tensor| tensor.tensor.clone()).collect()
    }

    fn values(&self, index: usize) -> Result<Bytes, SourceError> {
        let name = || format!("number {index}");
        let missing = || SourceError::Unreadable { name: name(), reason: "no such tensor".into() };
        Ok(self.get(index).ok_or_else(missing)?.values.clone())
    }
}

/// Whether weights become current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// The weights become the current ones.
    #[default]
    Current,
    /// The weights are stored for orders that name them, such as the moving average.
    Aside,
}

/// Weights to publish.
#[derive(Clone)]
pub struct PublishRequest {
    /// Id of the weights.
    pub id: WeightsId,
    /// Digest of the learner's f32 weights.
    pub weights_digest: Digest,
    /// Their tensors.
    pub tensors: Arc<dyn TensorSource>,
    /// The type to send them in.
    pub dtype: WireDtype,
    /// Whether they become current.
    pub exposure: Exposure,
    /// Weights named by pending orders, which are not deleted.
    pub keep: Vec<WeightsId>,
}

impl PublishRequest {
    /// Returns the weights that must not be deleted: those in `keep`, and the published ones.
    pub(crate) fn spared(&self) -> Vec<WeightsId> {
        self.keep.iter().copied().chain([self.id]).collect()
    }
}
