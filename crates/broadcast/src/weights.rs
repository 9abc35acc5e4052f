//! Versioned weights: stored by the learner under its lease, fetched and checked by samplers.

use crate::error::BroadcastError;
use crate::manifest::{Manifest, WireDtype};
use bytes::{Bytes, BytesMut};
use ddpo_rollout::trajectory::{Digest, PolicyVersion, StateDtype, decode};
use std::time::Duration;

/// The last report of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReport {
    /// The worker.
    pub worker: String,
    /// The version that it draws with.
    pub version: PolicyVersion,
    /// Time since the report.
    pub silent_for: Duration,
}

/// Fetched weights, checked against their manifest. They stay in the received chunks, without a
/// copy.
#[derive(Clone, Debug)]
pub struct Weights {
    manifest: Manifest,
    chunks: Vec<Bytes>,
    starts: Vec<usize>,
}

impl Weights {
    /// Builds weights from chunks that were checked with [`check_chunk`].
    pub(crate) fn from_checked(manifest: Manifest, chunks: Vec<Bytes>) -> Self {
        let mut start = 0;
        let mut starts = Vec::with_capacity(manifest.tensors.len() + 1);
        for tensor in &manifest.tensors {
            starts.push(start);
            start += tensor.elements().unwrap_or(0) * manifest.dtype.size();
        }
        starts.push(start);
        Self { manifest, chunks, starts }
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the values of tensor `index` in the manifest's order and dtype, little endian,
    /// row-major. Shares the chunk's memory if the tensor lies in one chunk, otherwise copies.
    pub fn bytes(&self, index: usize) -> Option<Bytes> {
        let (&start, &end) = (self.starts.get(index)?, self.starts.get(index + 1)?);
        let chunk_bytes = self.manifest.chunk_bytes;
        let (first, last) = (start / chunk_bytes, end.saturating_sub(1).max(start) / chunk_bytes);
        if start == end {
            return Some(Bytes::new());
        }
        if first == last {
            let offset = first * chunk_bytes;
            return Some(self.chunks.get(first)?.slice(start - offset..end - offset));
        }
        let mut joined = BytesMut::with_capacity(end - start);
        for (number, chunk) in self.chunks.iter().enumerate().take(last + 1).skip(first) {
            let offset = number * chunk_bytes;
            let from = start.max(offset) - offset;
            let to = (end - offset).min(chunk.len());
            joined.extend_from_slice(chunk.get(from..to)?);
        }
        Some(joined.freeze())
    }

    /// Returns the values of tensor `index`, widened to f32.
    pub fn values(&self, index: usize) -> Option<Vec<f32>> {
        let dtype = match self.manifest.dtype {
            WireDtype::F32 => StateDtype::F32,
            WireDtype::Bf16 => StateDtype::Bf16,
            WireDtype::F16 => StateDtype::F16,
        };
        Some(decode(&self.bytes(index)?, dtype))
    }
}

/// Checks one chunk against the manifest.
pub(crate) fn check_chunk(
    manifest: &Manifest,
    index: usize,
    chunk: &[u8],
) -> Result<(), BroadcastError> {
    let corrupt = |what| BroadcastError::Corrupt { id: manifest.id, what };
    let size = manifest.chunk_size(index);
    if chunk.len() != size {
        let found = chunk.len();
        return Err(corrupt(format!("chunk {index}: expected {size} bytes, found {found}")));
    }
    let found = Digest::of(chunk);
    match manifest.chunks.get(index) {
        Some(expected) if *expected == found => Ok(()),
        Some(expected) => {
            Err(corrupt(format!("chunk {index}: expected the digest {expected}, found {found}")))
        }
        None => Err(corrupt(format!("chunk {index} is not in the manifest"))),
    }
}
