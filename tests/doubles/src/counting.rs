//! A run without training: it orders batches, waits for them, and hashes them. Two runs that
//! receive the same samples end with the same digest, regardless of faults.

use crate::SCHEDULER;
use anyhow::{Context, Result};
use ddpo_broadcast::manifest::WireDtype;
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_files::{WriteFileError, write_file};
use ddpo_learner::service::dispatcher::{Dispatcher, DispatcherError};
use ddpo_learner::service::facts::RunFacts;
use ddpo_learner::service::ledger::{Awaited, BatchKey};
use ddpo_learner::service::remote::Reached;
use ddpo_learner::service::run::TrainingThread;
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::order::{RunSpec, Track, WeightsId};
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion, StateDtype};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The state of a counting run: its file `fake.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountingState {
    /// Epochs completed.
    pub epoch: u32,
    /// Trajectories used; each counts once.
    pub trained: u64,
    /// Digest over (epoch, sample, reward) of these trajectories, in order.
    pub digest: Digest,
}

/// Errors of a counting run.
#[derive(Debug, Error)]
pub enum CountingError {
    /// A batch cannot be ordered or does not arrive.
    #[error(transparent)]
    Dispatcher(#[from] DispatcherError),
    /// The state file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// The state file cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The samples of a batch are out of order.
    #[error("epoch {epoch}: expected sample {expected}, found {found}")]
    OutOfOrder {
        /// The epoch.
        epoch: u32,
        /// The next sample.
        expected: u32,
        /// The sample that arrived.
        found: u32,
    },
}

/// Runs the work of `double-learner` on the run's thread.
///
/// # Errors
/// [`CountingError`], and failures of the run's folder and of Redis.
pub fn count(thread: &TrainingThread) -> Result<()> {
    let folder = thread.plan.folder();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not create {}", folder.display()))?;
    let state = state_of(&folder)?;
    let dispatcher = dispatcher(thread, state.epoch)?;
    let store_task = dispatcher.store_task().clone();
    let run = CountingRun { thread, dispatcher, folder: &folder };
    if let Some(state) = run.run(state)? {
        tracing::info!(trained = state.trained, digest = %state.digest, "finished");
        thread.health.unmet("run", "the run is finished");
    }
    Ok(store_task.release()?)
}

fn dispatcher(thread: &TrainingThread, epoch: u32) -> Result<Dispatcher> {
    let (plan, run_id) = (&thread.plan, thread.run_id.clone());
    let scheduler_digest = Digest::of(SCHEDULER);
    let spec = RunSpec {
        run_id: run_id.clone(),
        unet_config: String::new(),
        scheduler_config: String::new(),
        scheduler: "ddim".into(),
        num_inference_steps: plan.settings.num_inference_steps,
        eta: plan.settings.eta,
        scheduler_digest,
        dtype: "f32".into(),
        numerics: Default::default(),
        norm_kernel: Default::default(),
        state_dtype: StateDtype::F32,
        window: None,
        needed_states: Default::default(),
        class_labels: None,
        task: plan.rewards.reward.label(),
    };
    let form = TrajectoryForm {
        dtype: StateDtype::F32,
        shape: None,
        chain: ChainFacts::Digest(scheduler_digest),
    };
    let facts = RunFacts {
        trajectories: TrajectoryFacts { run_id, form: Some(form) },
        reward: RewardSpec::plain(plan.rewards.reward.clone()),
    };
    thread.dispatcher(spec, facts, epoch, plan.sample_batch)
}

/// A counting run.
struct CountingRun<'a> {
    thread: &'a TrainingThread,
    dispatcher: Dispatcher,
    folder: &'a Path,
}

/// Returns the state in `folder`, or that of a new run.
///
/// # Errors
/// [`CountingError::Read`].
pub fn state_of(folder: &Path) -> Result<CountingState, CountingError> {
    let path = file(folder);
    if !path.exists() {
        return Ok(CountingState { epoch: 0, trained: 0, digest: Digest([0; 32]) });
    }
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let read = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    read.map_err(|reason| CountingError::Read { path, reason })
}

fn file(folder: &Path) -> PathBuf {
    folder.join("fake.json")
}

/// Returns the digest of the weights of a version.
pub fn weights_digest(version: PolicyVersion) -> Digest {
    Digest::of(&version.0.to_le_bytes())
}

impl CountingRun<'_> {
    fn stop(&self) -> bool {
        self.thread.shutdown.requested()
    }

    fn samples(&self) -> u32 {
        self.thread.plan.settings.num_samples_per_epoch as u32
    }

    /// Runs from `state` to the end and returns the last state, or `None` if shutdown is requested.
    fn run(&self, mut state: CountingState) -> Result<Option<CountingState>, CountingError> {
        while state.epoch < self.thread.plan.settings.num_epochs {
            // A batch that is already complete is collected without a check for shutdown.
            if self.stop() {
                return Ok(None);
            }
            let Some(batch) = self.epoch(state.epoch)? else { return Ok(None) };
            let (key, traces) = (BatchKey::Epoch(state.epoch), self.dispatcher.traces());
            let update = traces.update(key, u64::from(state.epoch));
            state = self.used(&state, &batch)?;
            drop(update);
            traces.end(key);
            let text = serde_json::to_string(&state).unwrap_or_default() + "\n";
            write_file(&file(self.folder), text.as_bytes())?;
        }
        Ok(Some(state))
    }

    fn epoch(&self, epoch: u32) -> Result<Option<Vec<ScoredTrajectory>>, CountingError> {
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
        self.dispatcher.store_task().publish(request).map_err(DispatcherError::from)?;
        let weights_now = Some((version, weights_digest));
        self.thread.reached.send_replace(Reached { weights: weights_now, epoch: Some(epoch) });
        let key = BatchKey::Epoch(epoch);
        let (run_seed, samples) = (self.thread.plan.settings.run_seed, self.samples());
        self.dispatcher.order(Awaited { key, run_seed, samples, weights, weights_digest })?;
        Ok(self.dispatcher.collect(key, samples, &mut |_| !self.stop())?)
    }

    fn used(
        &self,
        state: &CountingState,
        batch: &[ScoredTrajectory],
    ) -> Result<CountingState, CountingError> {
        let mut bytes = state.digest.0.to_vec();
        for (expected, scored) in (0..self.samples()).zip(batch) {
            let coordinates = scored.trajectory.header().coordinates;
            let found = coordinates.sample;
            if found != expected || coordinates.epoch != state.epoch {
                return Err(CountingError::OutOfOrder { epoch: state.epoch, expected, found });
            }
            bytes.extend(coordinates.epoch.to_le_bytes());
            bytes.extend(found.to_le_bytes());
            bytes.extend(scored.score.reward.to_le_bytes());
        }
        Ok(CountingState {
            epoch: state.epoch + 1,
            trained: state.trained + batch.len() as u64,
            digest: Digest::of(&bytes),
        })
    }
}
