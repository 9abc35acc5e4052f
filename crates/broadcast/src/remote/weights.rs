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

/// Index of the last byte of a manifest that is read: 64 MiB hold a million tensors.
const LONGEST_MANIFEST: isize = (64 << 20) - 1;

/// Longest name of a worker (bytes).
const LONGEST_NAME: usize = 256;

impl RedisBroadcast {
    /// Returns the manifest of these weights.
    ///
    /// # Errors
    /// [`BroadcastError::Manifest`] if it is invalid; otherwise errors of Redis.
    pub async fn manifest(&self, id: WeightsId) -> Result<Option<Manifest>, BroadcastError> {
        // A part of a value that is too long is not a manifest.
        let command = Cmd::getrange(self.keys.manifest(id), 0, LONGEST_MANIFEST);
        let bytes: Vec<u8> = self.link.ask("read a manifest", Ask::Command(&command)).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let invalid = |source| BroadcastError::Manifest { id, source };
        Manifest::from_json(&String::from_utf8_lossy(&bytes)).map_err(invalid).map(Some)
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
        Ok(self.reports().await?.workers)
    }

    /// Returns the reports of workers, and the names of entries that are not reports.
    pub(super) async fn reports(&self) -> Result<Reports, BroadcastError> {
        let script = self.scripts.workers.key(self.keys.workers());
        // Any client may have written an entry, so it may not be text.
        let reply: Vec<Vec<u8>> = self.link.ask("list the workers", Ask::Script(&script)).await?;
        let now = reply.first().and_then(|now| std::str::from_utf8(now).ok()?.parse().ok());
        let now = now.ok_or_else(|| unexpected(&[]))?;
        let mut reports = Reports::default();
        for [worker, report] in reply[1..].as_chunks::<2>().0 {
            match parse_report(worker, report, now) {
                Some(report) => reports.workers.push(report),
                // It protects no weights.
                None => reports.foreign.push(worker.clone()),
            }
        }
        reports.workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(reports)
    }

    /// Removes entries that are not reports.
    pub(super) async fn forget_foreign(&self, names: &[Vec<u8>]) -> Result<(), BroadcastError> {
        if names.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("HDEL");
        command.arg(self.keys.workers());
        names.iter().for_each(|name| _ = command.arg(&name[..]));
        let _: redis::Value = self.link.ask("forget a worker", Ask::Command(&command)).await?;
        Ok(())
    }

    pub(super) async fn chunk(
        &self,
        manifest: &Manifest,
        index: usize,
    ) -> Result<Bytes, BroadcastError> {
        // One byte more than expected shows a value that is too long, without reading all of it.
        let size = isize::try_from(manifest.chunk_size(index)).unwrap_or(isize::MAX);
        let command = Cmd::getrange(self.keys.chunk(&manifest.upload, index), 0, size);
        let chunk: Bytes = self.link.ask("fetch weights", Ask::Command(&command)).await?;
        if chunk.is_empty() { Err(BroadcastError::gone(manifest, index)) } else { Ok(chunk) }
    }
}

/// The entries of the workers' hash.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The reports, by name.
    pub(super) workers: Vec<WorkerReport>,
    /// The names of entries that are not reports.
    pub(super) foreign: Vec<Vec<u8>>,
}

fn parse_report(worker: &[u8], report: &[u8], now_ms: u64) -> Option<WorkerReport> {
    if worker.len() > LONGEST_NAME {
        return None;
    }
    let worker = std::str::from_utf8(worker).ok()?;
    let (version, at) = std::str::from_utf8(report).ok()?.split_once(' ')?;
    let (version, at): (u64, u64) = (version.parse().ok()?, at.parse().ok()?);
    let silent_for = Duration::from_millis(now_ms.saturating_sub(at));
    Some(WorkerReport { worker: worker.to_owned(), version: PolicyVersion(version), silent_for })
}
