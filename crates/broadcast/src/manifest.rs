//! The manifest of stored weights: their content, and digests to check it.

use crate::lease::FenceToken;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Bytes of every chunk except the last. Redis is fastest with values of 2 to 4 MiB, and answers
/// other clients within milliseconds between two of them.
pub const CHUNK_BYTES: usize = 4 << 20;

const FORMAT: u32 = 1;

/// The type in which weights are stored and sent. The learner's weights are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireDtype {
    /// 32-bit IEEE floating point: bit-identical to the learner's weights.
    #[default]
    F32,
    /// bfloat16, rounded to nearest even.
    Bf16,
    /// 16-bit IEEE floating point, rounded to nearest even.
    F16,
}

impl WireDtype {
    /// Returns the bytes of one value.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

impl fmt::Display for WireDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// Name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorShape {
    /// The checkpoint key.
    pub name: String,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorShape {
    /// Returns the number of values; `None` on overflow.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
    }
}

/// A stored set of weights: tensors in order, their values concatenated and cut into chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Id of the weights.
    pub id: WeightsId,
    /// Digest of the learner's f32 weights, independent of `dtype`.
    pub weights_digest: Digest,
    /// Type of the stored values, little endian.
    pub dtype: WireDtype,
    /// The tensors, in the order of their values.
    pub tensors: Vec<TensorShape>,
    /// Bytes of every chunk except the last.
    pub chunk_bytes: usize,
    /// BLAKE3 digest of each chunk.
    pub chunks: Vec<Digest>,
    /// BLAKE3 digest of the concatenated chunk digests: a tree of two levels, so that the bytes are
    /// hashed only once.
    pub payload_digest: Digest,
    /// Bytes of all chunks.
    pub total_bytes: usize,
    /// Token of the learner that stored them.
    pub fence: FenceToken,
    /// Name of this copy in the store. No two copies share chunks, even with the same weights.
    pub upload: String,
    /// Time of storing, in milliseconds of Unix time.
    pub created_unix_ms: u64,
}

/// Errors of a manifest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ManifestError {
    /// The text is not the expected JSON.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(String),
    /// A number contradicts the rest of the manifest.
    #[error("the manifest's {what}: expected {expected}, found {found}")]
    Disagrees {
        /// Name of the number.
        what: &'static str,
        /// The value that follows from the rest.
        expected: String,
        /// The stated value.
        found: String,
    },
}

impl Manifest {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// Reads and checks a stored manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the first mistake.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|e| ManifestError::Unreadable(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns the manifest as JSON.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`] if serialisation fails, which no value of this type causes.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        serde_json::to_string(self).map_err(|e| ManifestError::Unreadable(e.to_string()))
    }

    /// Returns the bytes of chunk `index`, 0 beyond the last.
    pub fn chunk_size(&self, index: usize) -> usize {
        let start = self.chunk_bytes.saturating_mul(index);
        self.total_bytes.saturating_sub(start).min(self.chunk_bytes)
    }

    /// Returns the digest of chunk digests.
    pub fn digest_of_chunks(chunks: &[Digest]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for chunk in chunks {
            hasher.update(&chunk.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        expect("format", &FORMAT, &self.format)?;
        expect("chunk size", &CHUNK_BYTES, &self.chunk_bytes)?;
        let bytes = self
            .tensors
            .iter()
            .try_fold(0_usize, |sum, tensor| {
                sum.checked_add(tensor.elements()?.checked_mul(self.dtype.size())?)
            })
            .ok_or_else(|| ManifestError::Unreadable("the shapes overflow".to_owned()))?;
        expect("total bytes", &bytes, &self.total_bytes)?;
        expect("number of chunks", &bytes.div_ceil(CHUNK_BYTES), &self.chunks.len())?;
        expect("payload digest", &Self::digest_of_chunks(&self.chunks), &self.payload_digest)
    }
}

fn expect<T: PartialEq + fmt::Display>(
    what: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), ManifestError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    Err(ManifestError::Disagrees { what, expected, found })
}
