//! Weights in Redis: fetching them, and the reports of workers that use them.

use super::link::Ask;
use super::reply::unexpected;
use super::store::RedisBroadcast;
use crate::error::BroadcastError;
use crate::manifest::Manifest;
use crate::weights::{Weights, WorkerReport, check_chunk};
use bytes::Bytes;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::PolicyVersion;
use redis::Cmd;
use std::time::Duration;

impl RedisBroadcast {
    /// Returns the manifest of these weights.
    ///
    /// # Errors
    /// [`BroadcastError::Manifest`] if it is invalid; otherwise errors of Redis.
    pub async fn manifest(&self, id: WeightsId) -> Result<Option<Manifest>, BroadcastError> {
        let command = Cmd::get(self.keys.manifest(id));
        let text: Option<String> = self.link.ask("read a manifest", Ask::Command(&command)).await?;
        let invalid = |source| BroadcastError::Manifest { id, source };
        text.map(|text| Manifest::from_json(&text).map_err(invalid)).transpose()
    }

    /// Fetches weights, and checks every chunk's digest before returning them.
    ///
    /// # Errors
    /// [`BroadcastError::Gone`] if a chunk is missing, [`BroadcastError::Corrupt`] if its digest
    /// differs; otherwise errors of Redis.
    pub async fn fetch(&self, manifest: &Manifest) -> Result<Weights, BroadcastError> {
        manifest.check().map_err(|source| BroadcastError::Manifest { id: manifest.id, source })?;
        let mut chunks = Vec::with_capacity(manifest.chunks.len());
        let mut unchecked: Option<Bytes> = None;
        for index in 0..manifest.chunks.len() {
            // The next chunk is fetched while the previous one is hashed.
            let (next, checked) = tokio::join!(self.chunk(manifest, index), async {
                match &unchecked {
                    Some(chunk) => check_chunk(manifest, index - 1, chunk),
                    None => Ok(()),
                }
            });
            checked?;
            chunks.extend(unchecked.replace(next?));
        }
        if let Some(last) = unchecked {
            check_chunk(manifest, chunks.len(), &last)?;
            chunks.push(last);
        }
        Ok(Weights::from_checked(manifest.clone(), chunks))
    }

    /// Returns whether the manifest and all chunks are stored; `false` after a loss of Redis.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn is_present(&self, id: WeightsId) -> Result<bool, BroadcastError> {
        let mut script = self.scripts.present.key(self.keys.weights());
        script.key(self.keys.manifest(id)).arg(id.to_string()).arg(self.keys.all_chunks());
        let missing: i64 = self.link.ask("look for weights", Ask::Script(&script)).await?;
        Ok(missing == 0)
    }

    /// Reports that a worker is alive and draws with weights of this version, which protects them
    /// from deletion. A report expires; repeat it.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn report_worker(
        &self,
        worker: &str,
        version: PolicyVersion,
    ) -> Result<(), BroadcastError> {
        let mut script = self.scripts.report.key(self.keys.workers());
        script.arg(worker).arg(version.0);
        let _: Vec<String> = self.link.ask("report a worker", Ask::Script(&script)).await?;
        Ok(())
    }

    /// Removes a worker's report when the worker leaves.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn forget_worker(&self, worker: &str) -> Result<(), BroadcastError> {
        let command = Cmd::hdel(self.keys.workers(), worker);
        self.link.ask("forget a worker", Ask::Command(&command)).await
    }

    /// Returns the reports of all workers by name, including silent ones.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn workers(&self) -> Result<Vec<WorkerReport>, BroadcastError> {
        let script = self.scripts.workers.key(self.keys.workers());
        let reply: Vec<String> = self.link.ask("list the workers", Ask::Script(&script)).await?;
        let [now, reports @ ..] = &reply[..] else { return Err(unexpected(&reply)) };
        let now = now.parse().map_err(|_| unexpected(&reply))?;
        let (pairs, _) = reports.as_chunks::<2>();
        // An invalid report, from whatever source, protects no weights.
        let mut workers: Vec<_> =
            pairs.iter().filter_map(|[worker, report]| parse_report(worker, report, now)).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(workers)
    }

    async fn chunk(&self, manifest: &Manifest, index: usize) -> Result<Bytes, BroadcastError> {
        let command = Cmd::get(self.keys.chunk(&manifest.upload, index));
        let chunk: Option<Bytes> = self.link.ask("fetch weights", Ask::Command(&command)).await?;
        chunk.ok_or_else(|| BroadcastError::gone(manifest, index))
    }
}

fn parse_report(worker: &str, report: &str, now_ms: u64) -> Option<WorkerReport> {
    let (version, at) = report.split_once(' ')?;
    let (version, at): (u64, u64) = (version.parse().ok()?, at.parse().ok()?);
    let silent_for = Duration::from_millis(now_ms.saturating_sub(at));
    Some(WorkerReport { worker: worker.to_owned(), version: PolicyVersion(version), silent_for })
}
