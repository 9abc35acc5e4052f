//! Versioned weights: stored by the learner under its lease, fetched and checked by samplers.

use crate::encode::Plan;
use crate::error::BroadcastError;
use crate::lease::{FenceToken, Lease};
use crate::manifest::{CHUNK_BYTES, Manifest, WireDtype};
use crate::source::PublishRequest;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, StateDtype, decode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The store of weights of a run.
#[async_trait]
pub trait WeightStore: Send + Sync {
    /// Stores weights: chunks first, then in one step, compared with the fencing token, the
    /// manifest and (if asked for) the pointer to the current weights; then tells the followers,
    /// and deletes what nobody needs. Weights that are already there whole, with the same
    /// digest and type, are not sent again. This may take longer than the lease lasts: renew the
    /// lease meanwhile.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] when the caller is no longer the learner: nothing changed.
    /// [`BroadcastError::NotNewer`] when the same learner has published newer weights.
    /// [`BroadcastError::Source`] when the tensors cannot be read. Otherwise the store's failures.
    async fn publish(
        &self,
        lease: &Lease,
        request: &PublishRequest,
    ) -> Result<Manifest, BroadcastError>;

    /// The manifest of these weights.
    ///
    /// # Errors
    /// [`BroadcastError::Manifest`] when it makes no sense; otherwise the store's failures.
    async fn manifest(&self, id: WeightsId) -> Result<Option<Manifest>, BroadcastError>;

    /// Which weights are current.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] when the pointer makes no sense; otherwise the store's failures.
    async fn current(&self) -> Result<Option<Current>, BroadcastError>;

    /// Fetches weights and checks every chunk's digest before anything is given out.
    ///
    /// # Errors
    /// [`BroadcastError::Gone`] when a chunk is missing, [`BroadcastError::Corrupt`] when it has
    /// other bytes than were published; otherwise the store's failures.
    async fn fetch(&self, manifest: &Manifest) -> Result<Weights, BroadcastError>;

    /// Whether the manifest and all chunks are there: after a wipe they are not.
    ///
    /// # Errors
    /// The store's failures.
    async fn is_present(&self, id: WeightsId) -> Result<bool, BroadcastError>;

    /// Reports that a worker lives and draws with weights of this version: nothing that it may
    /// still need is deleted. A report counts for a while only; repeat it.
    ///
    /// # Errors
    /// The store's failures.
    async fn report_worker(
        &self,
        worker: &str,
        version: PolicyVersion,
    ) -> Result<(), BroadcastError>;

    /// Removes a worker's report, when it leaves.
    ///
    /// # Errors
    /// The store's failures.
    async fn forget_worker(&self, worker: &str) -> Result<(), BroadcastError>;

    /// The reports of all workers, the silent ones too, by name.
    ///
    /// # Errors
    /// The store's failures.
    async fn workers(&self) -> Result<Vec<WorkerReport>, BroadcastError>;

    /// Changes whenever weights may have become current. A hint: it may come late, twice or not
    /// at all, so poll as well.
    fn notices(&self) -> watch::Receiver<u64>;
}

/// The pointer to the current weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The weights.
    pub id: WeightsId,
    /// Name of the stored copy.
    pub upload: String,
}

/// What a worker last said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReport {
    /// The worker.
    pub worker: String,
    /// The version it draws with.
    pub version: PolicyVersion,
    /// How long ago it said so.
    pub silent_for: Duration,
}

/// Fetched weights, checked against their manifest. Held as the chunks that came, not copied.
#[derive(Clone, Debug)]
pub struct Weights {
    manifest: Manifest,
    chunks: Vec<Bytes>,
    starts: Vec<usize>,
}

impl Weights {
    /// Takes chunks that have each been checked with [`check_chunk`].
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

    /// What was fetched.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The values of tensor `index` in the manifest's order and dtype, little endian, row-major.
    /// Shared with the chunk where the tensor lies in one, copied where it spans several.
    #[must_use]
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

    /// The values of tensor `index`, widened to f32.
    #[must_use]
    pub fn values(&self, index: usize) -> Option<Vec<f32>> {
        let dtype = match self.manifest.dtype {
            WireDtype::F32 => StateDtype::F32,
            WireDtype::Bf16 => StateDtype::Bf16,
            WireDtype::F16 => StateDtype::F16,
        };
        Some(decode(&self.bytes(index)?, dtype))
    }
}

/// Compares one chunk with the manifest.
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

/// A name for a copy in the store that no other copy has: tokens are unique among learners, and
/// the count among the copies of this one.
pub(crate) fn upload_name(token: FenceToken) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{token}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The manifest of chunks with these digests.
pub(crate) fn sealed(
    request: &PublishRequest,
    plan: Plan,
    chunks: Vec<Digest>,
    fence: FenceToken,
    upload: String,
    created_unix_ms: u64,
) -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        id: request.id,
        weights_digest: request.weights_digest,
        dtype: plan.dtype,
        tensors: plan.tensors,
        chunk_bytes: CHUNK_BYTES,
        payload_digest: Manifest::digest_of_chunks(&chunks),
        chunks,
        total_bytes: plan.total_bytes,
        fence,
        upload,
        created_unix_ms,
    }
}
