//! Weights, in Redis: reading and following them. Storing them is in `publish`.

use super::RedisBroadcast;
use super::lease::unexpected;
use super::link::Ask;
use crate::error::BroadcastError;
use crate::lease::Lease;
use crate::manifest::Manifest;
use crate::source::PublishRequest;
use crate::weights::{Current, WeightStore, Weights, WorkerReport, check_chunk};
use async_trait::async_trait;
use bytes::Bytes;
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::trajectory::PolicyVersion;
use redis::Cmd;
use std::time::Duration;
use tokio::sync::watch;

#[async_trait]
impl WeightStore for RedisBroadcast {
    async fn publish(
        &self,
        lease: &Lease,
        request: &PublishRequest,
    ) -> Result<Manifest, BroadcastError> {
        self.store_weights(lease, request).await
    }

    async fn manifest(&self, id: WeightsId) -> Result<Option<Manifest>, BroadcastError> {
        let command = Cmd::get(self.keys.manifest(id));
        let text: Option<String> = self.link.ask("read a manifest", Ask::Command(&command)).await?;
        let invalid = |source| BroadcastError::Manifest { id, source };
        text.map(|text| Manifest::from_json(&text).map_err(invalid)).transpose()
    }

    async fn current(&self) -> Result<Option<Current>, BroadcastError> {
        let command = Cmd::hmget(self.keys.current(), &["id", "upload"]);
        let found: (Option<String>, Option<String>) =
            self.link.ask("read which weights are current", Ask::Command(&command)).await?;
        let (Some(id), Some(upload)) = found else { return Ok(None) };
        Ok(Some(Current { id: parse_id(&id)?, upload }))
    }

    async fn fetch(&self, manifest: &Manifest) -> Result<Weights, BroadcastError> {
        manifest.check().map_err(|source| BroadcastError::Manifest { id: manifest.id, source })?;
        let mut chunks = Vec::with_capacity(manifest.chunks.len());
        let mut unchecked: Option<Bytes> = None;
        for index in 0..manifest.chunks.len() {
            // The next chunk travels while the last one is hashed.
            let (next, checked) = futures::join!(self.chunk(manifest, index), async {
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

    async fn is_present(&self, id: WeightsId) -> Result<bool, BroadcastError> {
        let mut script = self.scripts.present.key(self.keys.weights());
        script.key(self.keys.manifest(id)).arg(id.to_string()).arg(self.keys.all_chunks());
        let missing: i64 = self.link.ask("look for weights", Ask::Script(&script)).await?;
        Ok(missing == 0)
    }

    async fn report_worker(
        &self,
        worker: &str,
        version: PolicyVersion,
    ) -> Result<(), BroadcastError> {
        let mut script = self.scripts.report.key(self.keys.workers());
        script.arg(worker).arg(version.0);
        let _: Vec<String> = self.link.ask("report a worker", Ask::Script(&script)).await?;
        Ok(())
    }

    async fn forget_worker(&self, worker: &str) -> Result<(), BroadcastError> {
        let command = Cmd::hdel(self.keys.workers(), worker);
        self.link.ask("forget a worker", Ask::Command(&command)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, BroadcastError> {
        let script = self.scripts.workers.key(self.keys.workers());
        let reply: Vec<String> = self.link.ask("list the workers", Ask::Script(&script)).await?;
        let [now, reports @ ..] = &reply[..] else { return Err(unexpected(&reply)) };
        let now = now.parse().map_err(|_| unexpected(&reply))?;
        let (pairs, _) = reports.as_chunks::<2>();
        // Whatever else may have written a report that makes no sense: it holds nothing back.
        let mut workers: Vec<_> =
            pairs.iter().filter_map(|[worker, report]| parse_report(worker, report, now)).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(workers)
    }

    fn notices(&self) -> watch::Receiver<u64> {
        self.notices.clone()
    }
}

impl RedisBroadcast {
    async fn chunk(&self, manifest: &Manifest, index: usize) -> Result<Bytes, BroadcastError> {
        let command = Cmd::get(self.keys.chunk(&manifest.upload, index));
        let chunk: Option<Bytes> = self.link.ask("fetch weights", Ask::Command(&command)).await?;
        chunk.ok_or_else(|| manifest.gone(index))
    }
}

fn parse_report(worker: &str, report: &str, now_ms: u64) -> Option<WorkerReport> {
    let (version, at) = report.split_once(' ')?;
    let (version, at): (u64, u64) = (version.parse().ok()?, at.parse().ok()?);
    let silent_for = Duration::from_millis(now_ms.saturating_sub(at));
    Some(WorkerReport { worker: worker.to_owned(), version: PolicyVersion(version), silent_for })
}

/// Reads what [`WeightsId`] displays.
pub(super) fn parse_id(text: &str) -> Result<WeightsId, BroadcastError> {
    let (number, track) = match text.strip_suffix("-average") {
        Some(number) => (number, Track::Average),
        None => (text, Track::Policy),
    };
    let version = number.strip_prefix('v').and_then(|number| number.parse().ok());
    let invalid = || BroadcastError::invalid("name of weights", "v1 or v1-average", text);
    Ok(WeightsId { version: PolicyVersion(version.ok_or_else(invalid)?), track })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_weights_read_back() {
        for track in [Track::Policy, Track::Average] {
            let id = WeightsId { version: PolicyVersion(12), track };
            assert_eq!(parse_id(&id.to_string()).unwrap(), id);
        }
        for text in ["", "12", "v", "v-1", "v1-mean"] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }
}
