//! Where the weights to publish come from: the learner's f32 tensors, read one at a time, so that
//! they may lie on a device and no second copy of all of them is made.

use crate::manifest::{TensorShape, WireDtype};
use bytes::Bytes;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::Digest;
use std::sync::Arc;
use thiserror::Error;

/// Tensors in f32, in a fixed order. Read on a thread where blocking is allowed.
pub trait TensorSource: Send + Sync {
    /// Names and shapes, in the order of the indices of [`TensorSource::values`].
    fn tensors(&self) -> Vec<TensorShape>;

    /// The values of tensor `index`, f32, little endian, row-major.
    ///
    /// # Errors
    /// [`SourceError::Unreadable`] when they cannot be had.
    fn values(&self, index: usize) -> Result<Bytes, SourceError>;
}

/// Why tensors cannot be published.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SourceError {
    /// The values of a tensor cannot be had.
    #[error("tensor {name:?} cannot be read: {reason}")]
    Unreadable {
        /// The tensor.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A tensor has more or fewer bytes than its shape asks for.
    #[error("tensor {name:?} of shape {shape:?}: expected {expected} bytes of f32, found {found}")]
    Size {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What the shape asks for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A name appears twice.
    #[error("tensor {0:?} is there twice")]
    Twice(String),
    /// Reading was cut short.
    #[error("reading the tensors was cut short: {0}")]
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
    /// A tensor of these values, copied.
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

/// Whether followers are to take the weights up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// They become the current weights.
    #[default]
    Current,
    /// They lie beside the current ones, for orders that name them: the moving average, say.
    Aside,
}

/// Weights to publish.
#[derive(Clone)]
pub struct PublishRequest {
    /// Which weights these are.
    pub id: WeightsId,
    /// Identity of the weights: the digest of the learner's own f32 weights.
    pub weights_digest: Digest,
    /// Their tensors.
    pub tensors: Arc<dyn TensorSource>,
    /// The type to send them in.
    pub dtype: WireDtype,
    /// Whether they become current.
    pub exposure: Exposure,
    /// Weights that pending orders name: these are not deleted.
    pub keep: Vec<WeightsId>,
}

impl PublishRequest {
    /// What is not deleted after this: what the caller names, and the weights themselves.
    pub(crate) fn spared(&self) -> Vec<WeightsId> {
        self.keep.iter().copied().chain([self.id]).collect()
    }
}
