//! Stores weights in Redis: first the chunks, then in one step everything that makes them visible.

use super::link::Ask;
use super::reply::{parse_id, parse_token, settled, unexpected};
use super::store::RedisBroadcast;
use crate::encode::{Chunk, Plan};
use crate::error::BroadcastError;
use crate::lease::{FenceToken, Lease};
use crate::manifest::{CHUNK_BYTES, Manifest};
use crate::retention::{FORGOTTEN_AFTER, Stored, expendable};
use crate::source::{Exposure, PublishRequest, SourceError};
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::Digest;
use redis::Cmd;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lifetime of chunks without a manifest, such as those of a learner that died during an upload.
const UPLOAD_TTL: Duration = Duration::from_secs(15 * 60);

/// Chunks per delete command: Redis frees even an unlinked string immediately, which takes most of
/// a millisecond for 4 MiB.
const DELETED_AT_ONCE: usize = 4;

impl RedisBroadcast {
    /// Stores weights: first the chunks; then in one step, compared with the fencing token, the
    /// manifest and (if requested) the pointer to the current weights. Finally deletes expendable
    /// weights. Weights that are already stored with the same digest and type are not sent again.
    /// This may take longer than the lease lasts, so renew the lease meanwhile.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease; then nothing is changed.
    /// [`BroadcastError::NotNewer`] if the same learner has published newer weights.
    /// [`BroadcastError::Source`] if the tensors cannot be read. Otherwise errors of Redis.
    pub async fn publish(
        &self,
        lease: &Lease,
        request: &PublishRequest,
    ) -> Result<Manifest, BroadcastError> {
        let plan = plan_of(request)?;
        // Checks the lease before sending; the last step checks it again.
        self.check_lease(lease).await?;
        let manifest = match self.already_stored(request, &plan).await? {
            Some(manifest) => {
                self.commit(lease, request.exposure, &manifest).await?;
                manifest
            }
            None => self.store_anew(lease, request, plan).await?,
        };
        match self.prune(lease, request).await {
            // The weights are published. The next publication deletes what this one could not.
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "could not delete old weights");
                Ok(manifest)
            }
            pruned => pruned.map(|()| manifest),
        }
    }

    /// Stores weights again, also if they seem to be stored already.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_again(
        &self,
        lease: &Lease,
        request: &PublishRequest,
    ) -> Result<Manifest, BroadcastError> {
        let plan = plan_of(request)?;
        self.check_lease(lease).await?;
        self.store_anew(lease, request, plan).await
    }

    async fn store_anew(
        &self,
        lease: &Lease,
        request: &PublishRequest,
        plan: Plan,
    ) -> Result<Manifest, BroadcastError> {
        let upload = upload_name(lease.token);
        let chunks = plan.total_bytes.div_ceil(CHUNK_BYTES);
        let stored = match self.upload(request, plan.clone(), &upload).await {
            Ok(digests) => {
                let manifest = plan.seal(request, digests, lease.token, &upload, unix_ms());
                self.commit(lease, request.exposure, &manifest).await.map(|()| manifest)
            }
            Err(error) => Err(error),
        };
        if stored.is_err() {
            self.discard(request.id, &upload, chunks).await;
        }
        stored
    }

    async fn already_stored(
        &self,
        request: &PublishRequest,
        plan: &Plan,
    ) -> Result<Option<Manifest>, BroadcastError> {
        let same = match self.manifest(request.id).await {
            Ok(found) => found.filter(|manifest| plan.is_stored_as(manifest, request)),
            // An unreadable manifest is replaced.
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        match same {
            Some(manifest) if self.is_present(request.id).await? => Ok(Some(manifest)),
            _ => Ok(None),
        }
    }

    /// Reads on a blocking thread and stores in this task, with a queue of one chunk between them.
    async fn upload(
        &self,
        request: &PublishRequest,
        plan: Plan,
        upload: &str,
    ) -> Result<Vec<Digest>, BroadcastError> {
        let (sender, mut chunks) = mpsc::channel::<Chunk>(1);
        let tensors = request.tensors.clone();
        let reader = tokio::task::spawn_blocking(move || {
            plan.encode(tensors.as_ref(), &mut |chunk| {
                let gone = |_| SourceError::Interrupted("the upload has ended".to_owned());
                sender.blocking_send(chunk).map_err(gone)
            })
        });
        let mut digests = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            self.put_chunk(upload, digests.len(), &chunk).await?;
            digests.push(chunk.digest);
        }
        let read =
            reader.await.unwrap_or_else(|error| Err(SourceError::Interrupted(error.to_string())));
        read.map_err(|source| BroadcastError::Source { id: request.id, source })?;
        Ok(digests)
    }

    async fn put_chunk(
        &self,
        upload: &str,
        index: usize,
        chunk: &Chunk,
    ) -> Result<(), BroadcastError> {
        let mut command = Cmd::new();
        command.arg("SET").arg(self.keys.chunk(upload, index)).arg(&chunk.bytes[..]);
        command.arg("EX").arg(UPLOAD_TTL.as_secs());
        self.link.ask("store weights", Ask::Command(&command)).await
    }

    async fn commit(
        &self,
        lease: &Lease,
        exposure: Exposure,
        manifest: &Manifest,
    ) -> Result<(), BroadcastError> {
        let id = manifest.id;
        let text = manifest.to_json().map_err(|source| BroadcastError::Manifest { id, source })?;
        let mut script = self.scripts.commit.key(self.keys.lease());
        script.key(self.keys.weights()).key(self.keys.current()).key(self.keys.manifest(id));
        for index in 0..manifest.chunks.len() {
            script.key(self.keys.chunk(&manifest.upload, index));
        }
        script.arg(lease.token.0).arg(id.to_string()).arg(id.version.0).arg(&manifest.upload);
        script.arg(text).arg(match exposure {
            Exposure::Current => "current",
            Exposure::Aside => "aside",
        });
        script.arg(self.keys.all_chunks());
        let reply = self.link.ask("publish weights", Ask::Script(&script)).await?;
        let reply = settled(lease, reply)?;
        match &reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", ..] => {
                self.delete(&reply[1..]).await;
                Ok(())
            }
            ["older", current] => {
                Err(BroadcastError::NotNewer { current: parse_id(current)?, offered: id })
            }
            ["missing", index] => {
                Err(BroadcastError::gone(manifest, index.parse().unwrap_or_default()))
            }
            _ => Err(unexpected(&reply)),
        }
    }

    /// Deletes expendable weights.
    async fn prune(&self, lease: &Lease, request: &PublishRequest) -> Result<(), BroadcastError> {
        let Some(current) = self.stored_current().await? else { return Ok(()) };
        let reports = self.reports().await?;
        let stored = self.stored().await?;
        let keep = request.spared();
        let ids = expendable(&stored, current, &reports.workers, &keep);
        self.forget_foreign(&reports.foreign).await?;
        for worker in &reports.workers {
            if worker.silent_for > FORGOTTEN_AFTER {
                self.forget_worker(&worker.worker).await?;
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let mut script = self.scripts.prune.key(self.keys.lease());
        script.key(self.keys.weights()).key(self.keys.current()).arg(lease.token.0);
        script.arg(self.keys.all_manifests()).arg(self.keys.all_chunks());
        ids.iter().for_each(|id| _ = script.arg(id.to_string()));
        let reply = self.link.ask("delete old weights", Ask::Script(&script)).await?;
        let reply = settled(lease, reply)?;
        self.delete(&reply[1..]).await;
        Ok(())
    }

    /// Deletes the chunks of retired copies, given as alternating upload and number of chunks.
    /// Undeleted chunks expire.
    async fn delete(&self, retired: &[String]) {
        for [upload, chunks] in retired.as_chunks::<2>().0 {
            let chunks: usize = chunks.parse().unwrap_or_default();
            for first in (0..chunks).step_by(DELETED_AT_ONCE) {
                let mut command = Cmd::new();
                command.arg("UNLINK");
                for index in first..chunks.min(first + DELETED_AT_ONCE) {
                    command.arg(self.keys.chunk(upload, index));
                }
                let now = Instant::now();
                let done: Result<u64, _> =
                    self.link.ask_until("delete old weights", Ask::Command(&command), now).await;
                if let Err(error) = done {
                    tracing::debug!(%error, "old chunks stay until they expire");
                    return;
                }
            }
        }
    }

    async fn stored_current(&self) -> Result<Option<Stored>, BroadcastError> {
        let command = Cmd::hmget(self.keys.current(), &["id", "token"]);
        let found: (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.link.ask("read which weights are current", Ask::Command(&command)).await?;
        let (Some(id), Some(token)) = found else { return Ok(None) };
        let (id, token) = (String::from_utf8_lossy(&id), String::from_utf8_lossy(&token));
        Ok(Some(Stored { id: parse_id(&id)?, fence: parse_token(&token)? }))
    }

    async fn stored(&self) -> Result<Vec<Stored>, BroadcastError> {
        let command = Cmd::hgetall(self.keys.weights());
        let entries: HashMap<Vec<u8>, Vec<u8>> =
            self.link.ask("list the weights", Ask::Command(&command)).await?;
        // An entry of another program names no weights.
        let stored = |(id, entry): (Vec<u8>, Vec<u8>)| {
            let (id, entry) = (String::from_utf8(id).ok()?, String::from_utf8(entry).ok()?);
            let token = entry.split(' ').next().unwrap_or_default();
            Some(Stored { id: parse_id(&id).ok()?, fence: parse_token(token).ok()? })
        };
        Ok(entries.into_iter().filter_map(stored).collect())
    }

    /// Deletes the chunks of a failed upload. Tries once, because they expire.
    async fn discard(&self, id: WeightsId, upload: &str, chunks: usize) {
        let mut script = self.scripts.discard.key(self.keys.weights());
        script.arg(id.to_string()).arg(upload).arg(chunks).arg(self.keys.all_chunks());
        let now = Instant::now();
        let done: Result<Vec<String>, _> =
            self.link.ask_until("discard weights", Ask::Script(&script), now).await;
        match done {
            Ok(reply) => self.delete(reply.get(1..).unwrap_or_default()).await,
            Err(error) => {
                tracing::debug!(%error, "chunks of a failed publication stay until they expire");
            }
        }
    }
}

fn plan_of(request: &PublishRequest) -> Result<Plan, BroadcastError> {
    let refused = |source| BroadcastError::Source { id: request.id, source };
    Plan::new(request.tensors.as_ref(), request.dtype).map_err(refused)
}

/// Returns a unique name for a copy in the store: tokens are unique among learners, the counter
/// among the copies of one learner.
fn upload_name(token: FenceToken) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{token}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the Unix time in milliseconds; 0 if the clock is before 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
