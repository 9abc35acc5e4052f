//! A run that trains nothing: it orders batches, waits for them, and hashes what came, so that the
//! whole way can be tested under load and with faults. Two runs that saw the same samples end with
//! the same digest, whatever happened in between.

use crate::service::desk::{Desk, DeskError};
use crate::service::ledger::{Awaited, BatchKey};
use crate::service::remote::Reached;
use ddpo_broadcast::manifest::WireDtype;
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_files::{WriteFileError, write_file};
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// What a fake run has come to: its file `fake.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeState {
    /// Epochs completed.
    pub epoch: u32,
    /// Trajectories used, each once.
    pub trained: u64,
    /// Digest over (epoch, sample, reward) of all of them, in order.
    pub digest: Digest,
}

/// Why a fake run cannot go on.
#[derive(Debug, Error)]
pub enum FakeError {
    /// The batches.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// Its file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// Its file cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A batch is not in the order of its samples.
    #[error("epoch {epoch}: expected sample {expected}, found {found}")]
    OutOfOrder {
        /// The epoch.
        epoch: u32,
        /// The next sample.
        expected: u32,
        /// What came.
        found: u32,
    },
}

/// What a fake run is made of.
pub struct FakeRun<'a> {
    /// Where batches are ordered.
    pub desk: Desk,
    /// Folder of its file.
    pub folder: &'a Path,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Epochs in all.
    pub epochs: u32,
    /// Samples in an epoch.
    pub samples: u32,
    /// Where the run has got to.
    pub reached: watch::Sender<Reached>,
    /// Whether somebody asked to stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// The state in `folder`, or that of a new run.
///
/// # Errors
/// [`FakeError::Read`].
pub fn state_of(folder: &Path) -> Result<FakeState, FakeError> {
    let path = file(folder);
    if !path.exists() {
        return Ok(FakeState { epoch: 0, trained: 0, digest: Digest([0; 32]) });
    }
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let read = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    read.map_err(|reason| FakeError::Read { path, reason })
}

fn file(folder: &Path) -> PathBuf {
    folder.join("fake.json")
}

/// The digest of the fake weights of a version.
#[must_use]
pub fn weights_digest(version: PolicyVersion) -> Digest {
    Digest::of(&version.0.to_le_bytes())
}

impl FakeRun<'_> {
    /// Runs from `state` to the end; the state then, or `None` if somebody asked to stop.
    ///
    /// # Errors
    /// [`FakeError`]. What was written before stays.
    pub fn run(&self, mut state: FakeState) -> Result<Option<FakeState>, FakeError> {
        while state.epoch < self.epochs {
            // Batches that come at once leave no time to look while they are waited for.
            if (self.stop)() {
                return Ok(None);
            }
            let Some(batch) = self.epoch(state.epoch)? else { return Ok(None) };
            let (key, traces) = (BatchKey::Epoch(state.epoch), self.desk.traces());
            let update = traces.update(key, u64::from(state.epoch));
            state = self.used(&state, &batch)?;
            drop(update);
            traces.end(key);
            let text = serde_json::to_string(&state).unwrap_or_default() + "\n";
            write_file(&file(self.folder), text.as_bytes())?;
        }
        Ok(Some(state))
    }

    fn epoch(&self, epoch: u32) -> Result<Option<Vec<ScoredTrajectory>>, FakeError> {
        let version = PolicyVersion(u64::from(epoch));
        let weights = WeightsId { version, track: Track::Policy };
        let weights_digest = weights_digest(version);
        let tensor = HostTensor::new("version", &[1], &[epoch as f32]);
        let request = PublishRequest {
            id: weights,
            weights_digest,
            tensors: Arc::new(vec![tensor]),
            dtype: WireDtype::F32,
            exposure: Exposure::Current,
            keep: Vec::new(),
        };
        self.desk.keeper().publish(request).map_err(DeskError::from)?;
        let weights_now = Some((version, weights_digest));
        self.reached.send_replace(Reached { weights: weights_now, epoch: Some(epoch) });
        let key = BatchKey::Epoch(epoch);
        let (run_seed, samples) = (self.run_seed, self.samples);
        self.desk.order(Awaited { key, run_seed, samples, weights, weights_digest })?;
        Ok(self.desk.collect(key, samples, &mut |_| !(self.stop)())?)
    }

    fn used(&self, state: &FakeState, batch: &[ScoredTrajectory]) -> Result<FakeState, FakeError> {
        let mut bytes = state.digest.0.to_vec();
        for (expected, scored) in (0..self.samples).zip(batch) {
            let coordinates = scored.trajectory.header().coordinates;
            let found = coordinates.sample;
            if found != expected || coordinates.epoch != state.epoch {
                return Err(FakeError::OutOfOrder { epoch: state.epoch, expected, found });
            }
            bytes.extend(coordinates.epoch.to_le_bytes());
            bytes.extend(found.to_le_bytes());
            bytes.extend(scored.score.reward.to_le_bytes());
        }
        Ok(FakeState {
            epoch: state.epoch + 1,
            trained: state.trained + batch.len() as u64,
            digest: Digest::of(&bytes),
        })
    }
}
