//! Damage in Redis: reports of workers that cannot load weights, their verification, and keys of another
//! type. Any client of Redis may have written what a store reads.

use super::link::Ask;
use super::store::RedisBroadcast;
use crate::encode::Plan;
use crate::error::BroadcastError;
use crate::manifest::Manifest;
use crate::source::{PublishRequest, SourceError};
use crate::weights::check_chunk;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::trajectory::Digest;
use redis::Cmd;

/// Seconds after which reports are forgotten.
const REPORT_SECONDS: i64 = 60;

/// Longest reason of a report, in characters.
const REASON: usize = 200;

impl RedisBroadcast {
    /// Reports that a worker cannot load these weights. The learner verifies them, and publishes them again
    /// if they are damaged. A report expires; repeat it.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn report_broken(&self, id: WeightsId, reason: &str) -> Result<(), BroadcastError> {
        const ACTION: &str = "report damaged weights";
        let reason: String = reason.chars().take(REASON).collect();
        let command = Cmd::hset(self.keys.broken(), id.to_string(), reason);
        let _: redis::Value = self.link.ask(ACTION, Ask::Command(&command)).await?;
        let command = Cmd::expire(self.keys.broken(), REPORT_SECONDS);
        let _: redis::Value = self.link.ask(ACTION, Ask::Command(&command)).await?;
        Ok(())
    }

    /// Returns whether a worker has reported that it cannot load these weights.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn is_reported(&self, id: WeightsId) -> Result<bool, BroadcastError> {
        let command = Cmd::hexists(self.keys.broken(), id.to_string());
        self.link.ask("look for reports", Ask::Command(&command)).await
    }

    /// Removes the report of these weights.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn forget_report(&self, id: WeightsId) -> Result<(), BroadcastError> {
        let command = Cmd::hdel(self.keys.broken(), id.to_string());
        let _: redis::Value = self.link.ask("forget a report", Ask::Command(&command)).await?;
        Ok(())
    }

    /// Compares the stored weights with the tensors of `request`: manifest, digests and every chunk.
    ///
    /// # Errors
    /// [`BroadcastError::Gone`], [`BroadcastError::Corrupt`] or [`BroadcastError::Manifest`] if a part is
    /// missing or differs; [`BroadcastError::Source`] if the tensors cannot be read; otherwise errors of
    /// Redis.
    pub async fn verify(&self, request: &PublishRequest) -> Result<(), BroadcastError> {
        let id = request.id;
        let gone = || BroadcastError::Gone { id, what: "the manifest".to_owned() };
        let manifest = self.manifest(id).await?.ok_or_else(gone)?;
        let expected = digests(request).await?;
        check_manifest(request, &manifest, &expected)?;
        for index in 0..manifest.chunks.len() {
            check_chunk(&manifest, index, &self.chunk(&manifest, index).await?)?;
        }
        Ok(())
    }

    /// Removes keys of the run that hold a value of another type, and returns their names. They belong to
    /// no program of the run, so this needs no lease.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn remove_foreign_keys(&self) -> Result<Vec<String>, BroadcastError> {
        let (types, strings) = (self.keys.types(), self.keys.strings());
        let strings = strings.into_iter().map(|key| (key, "string"));
        let keys: Vec<(String, &str)> = types.into_iter().chain(strings).collect();
        let mut script = self.scripts.mend.prepare_invoke();
        keys.iter().for_each(|(key, _)| _ = script.key(key));
        keys.iter().for_each(|(_, kind)| _ = script.arg(*kind));
        self.link.ask("remove foreign keys", Ask::Script(&script)).await
    }
}

/// Returns the digests of the chunks of these weights, computed on a blocking thread.
async fn digests(request: &PublishRequest) -> Result<Vec<Digest>, BroadcastError> {
    let (tensors, dtype, id) = (request.tensors.clone(), request.dtype, request.id);
    let computed = tokio::task::spawn_blocking(move || {
        let mut digests = Vec::new();
        let plan = Plan::new(tensors.as_ref(), dtype)?;
        plan.encode(tensors.as_ref(), &mut |chunk| {
            digests.push(chunk.digest);
            Ok(())
        })?;
        Ok(digests)
    });
    let computed =
        computed.await.unwrap_or_else(|error| Err(SourceError::Interrupted(error.to_string())));
    computed.map_err(|source| BroadcastError::Source { id, source })
}

fn check_manifest(
    request: &PublishRequest,
    manifest: &Manifest,
    expected: &[Digest],
) -> Result<(), BroadcastError> {
    let id = request.id;
    let plan = Plan::new(request.tensors.as_ref(), request.dtype)
        .map_err(|source| BroadcastError::Source { id, source })?;
    let is_same = manifest.id == id
        && plan.is_stored_as(manifest, request)
        && manifest.chunks.as_slice() == expected;
    if is_same {
        Ok(())
    } else {
        Err(BroadcastError::Corrupt { id, what: "the manifest is not the learner's".to_owned() })
    }
}
