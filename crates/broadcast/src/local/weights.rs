//! Weights, in this process: chunked and checked as in Redis.

use super::{LocalBroadcast, unix_ms};
use crate::encode::Plan;
use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::manifest::Manifest;
use crate::retention::{Stored, expendable};
use crate::source::{Exposure, PublishRequest, SourceError};
use crate::weights::{
    Current, WeightStore, Weights, WorkerReport, check_chunk, sealed, upload_name,
};
use async_trait::async_trait;
use bytes::Bytes;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct WeightsState {
    stored: BTreeMap<WeightsId, Copy>,
    current: Option<(Current, Stored)>,
    workers: BTreeMap<String, (PolicyVersion, Instant)>,
}

#[derive(Clone, Debug)]
struct Copy {
    manifest: Manifest,
    chunks: Vec<Bytes>,
    stored: Stored,
}

impl WeightsState {
    /// The step that is one script in Redis.
    fn commit(
        &mut self,
        lease: &Lease,
        exposure: Exposure,
        manifest: Manifest,
        chunks: Vec<Bytes>,
    ) -> Result<bool, BroadcastError> {
        let id = manifest.id;
        if let (Exposure::Current, Some((_, current))) = (exposure, &self.current)
            && current.fence == lease.token
            && current.id.version > id.version
        {
            return Err(BroadcastError::NotNewer { current: current.id, offered: id });
        }
        let stored = Stored { id, fence: lease.token };
        let was_current = self.current.as_ref().is_some_and(|(current, _)| current.id == id);
        let exposed = exposure == Exposure::Current || was_current;
        if exposed {
            self.current = Some((Current { id, upload: manifest.upload.clone() }, stored));
        }
        self.stored.insert(id, Copy { manifest, chunks, stored });
        Ok(exposed)
    }

    fn reports(&self) -> Vec<WorkerReport> {
        let report = |(worker, (version, at)): (&String, &(PolicyVersion, Instant))| {
            let (worker, version) = (worker.clone(), *version);
            WorkerReport { worker, version, silent_for: at.elapsed() }
        };
        self.workers.iter().map(report).collect()
    }
}

#[async_trait]
impl WeightStore for LocalBroadcast {
    async fn publish(
        &self,
        lease: &Lease,
        request: &PublishRequest,
    ) -> Result<Manifest, BroadcastError> {
        let refused = |source| BroadcastError::Source { id: request.id, source };
        let plan = Plan::new(request.tensors.as_ref(), request.dtype).map_err(refused)?;
        let there = {
            let state = self.locked();
            state.lease.check(lease)?;
            let copy = state.weights.stored.get(&request.id);
            copy.filter(|copy| copy.manifest.holds(request, &plan)).cloned()
        };
        let (manifest, chunks) = match there {
            Some(copy) => (copy.manifest, copy.chunks),
            None => {
                let (chunks, digests) = encoded(request, plan.clone()).await.map_err(refused)?;
                let upload = upload_name(lease.token);
                (sealed(request, plan, digests, lease.token, upload, unix_ms()), chunks)
            }
        };
        let mut state = self.locked();
        state.lease.check(lease)?;
        let state = &mut state.weights;
        if state.commit(lease, request.exposure, manifest.clone(), chunks)? {
            self.notices.send_modify(|count| *count += 1);
        }
        if let Some((_, current)) = state.current {
            let stored: Vec<Stored> = state.stored.values().map(|copy| copy.stored).collect();
            let keep = request.spared();
            let retention = self.config.retention;
            for id in expendable(&stored, current, &state.reports(), &keep, retention) {
                state.stored.remove(&id);
            }
            let forgotten = retention.forgotten_after();
            state.workers.retain(|_, (_, at)| at.elapsed() < forgotten);
        }
        Ok(manifest)
    }

    async fn manifest(&self, id: WeightsId) -> Result<Option<Manifest>, BroadcastError> {
        Ok(self.locked().weights.stored.get(&id).map(|copy| copy.manifest.clone()))
    }

    async fn current(&self) -> Result<Option<Current>, BroadcastError> {
        Ok(self.locked().weights.current.as_ref().map(|(current, _)| current.clone()))
    }

    async fn fetch(&self, manifest: &Manifest) -> Result<Weights, BroadcastError> {
        manifest.check().map_err(|source| BroadcastError::Manifest { id: manifest.id, source })?;
        let same = |copy: &&Copy| copy.manifest.upload == manifest.upload;
        let chunks = self
            .locked()
            .weights
            .stored
            .get(&manifest.id)
            .filter(same)
            .map(|copy| copy.chunks.clone())
            .ok_or_else(|| manifest.gone(0))?;
        for (index, chunk) in chunks.iter().enumerate() {
            check_chunk(manifest, index, chunk)?;
            tokio::task::yield_now().await;
        }
        Ok(Weights::from_checked(manifest.clone(), chunks))
    }

    async fn is_present(&self, id: WeightsId) -> Result<bool, BroadcastError> {
        Ok(self.locked().weights.stored.contains_key(&id))
    }

    async fn report_worker(
        &self,
        worker: &str,
        version: PolicyVersion,
    ) -> Result<(), BroadcastError> {
        let now = Instant::now();
        self.locked().weights.workers.insert(worker.to_owned(), (version, now));
        Ok(())
    }

    async fn forget_worker(&self, worker: &str) -> Result<(), BroadcastError> {
        self.locked().weights.workers.remove(worker);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, BroadcastError> {
        Ok(self.locked().weights.reports())
    }

    fn notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }
}

async fn encoded(
    request: &PublishRequest,
    plan: Plan,
) -> Result<(Vec<Bytes>, Vec<Digest>), SourceError> {
    let tensors = request.tensors.clone();
    let encoding = tokio::task::spawn_blocking(move || {
        let (mut chunks, mut digests) = (Vec::new(), Vec::new());
        let mut sink = |chunk: crate::encode::Chunk| {
            chunks.push(chunk.bytes);
            digests.push(chunk.digest);
            Ok(())
        };
        plan.encode(tensors.as_ref(), &mut sink)?;
        Ok((chunks, digests))
    });
    encoding.await.unwrap_or_else(|error| Err(SourceError::Interrupted(error.to_string())))
}
