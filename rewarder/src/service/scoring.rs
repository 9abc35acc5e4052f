//! The reward of the run: asks the learner for it, opens its models, and replaces them when the
//! learner describes another reward.

use crate::service::batcher::{Batcher, BatcherConfig, ModelEnd, WORK};
use anyhow::{Context, Error, Result, anyhow};
use ddpo_delivery::run::RunClient;
use ddpo_diffusion::device;
use ddpo_proto::convert::run::RunDescription;
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rewards::{RewardError, RewardRuntime, Rewards};
use ddpo_rollout::facts::TrajectoryFacts;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::reward::{RewardId, RewardSpec};
use ddpo_service::health::Health;
use ddpo_service::metrics::Metrics;
use ddpo_service::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Pause between two requests to the learner.
const PAUSE: Duration = Duration::from_secs(2);

/// Pause between requests until the learner first describes its run.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest time to hold trajectories while a reward server does not answer; then samplers must
/// send them again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The models of one run's reward.
pub struct Scoring {
    /// The run, and the form of its trajectories.
    pub trajectories: TrajectoryFacts,
    /// The id of the reward, which each score carries.
    pub reward: RewardId,
    /// The maps from states to 8-bit images.
    pub pixel_maps: Vec<PixelMap>,
    /// The queue before the models.
    pub batcher: Batcher,
}

/// The models in use; `None` until they are open.
pub type CurrentScoring = watch::Receiver<Option<Arc<Scoring>>>;

/// Opens the models of a specification.
pub type OpenRewards = dyn Fn(&RewardSpec, &RewardRuntime) -> Result<Rewards> + Send + Sync;

/// Everything that opening a reward needs.
pub struct ScoringParts {
    /// Asks the learner.
    pub client: RunClient,
    /// Where the models run; waits for reward servers as [`waiting`] says.
    pub runtime: RewardRuntime,
    /// Limits of a batch.
    pub batcher: BatcherConfig,
    /// Opens the models of a specification.
    pub open: Arc<OpenRewards>,
    /// The service's health; this module sets its condition `model`.
    pub health: Health,
    /// Metrics of the batches.
    pub metrics: Metrics,
    /// Ends the task.
    pub shutdown: Shutdown,
}

/// Returns how to wait for a reward server: while it does not answer, the condition `model` is not
/// met, and samplers are asked to send again later.
pub fn waiting(health: &Health, shutdown: &Shutdown) -> Waiting {
    let (health, shutdown) = (health.clone(), shutdown.clone());
    let tell = move |reach: &Reach| match reach {
        Reach::Lost(line) => health.unmet("model", line.clone()),
        Reach::Found(line) => health.met("model", line.clone()),
    };
    Waiting::new(tell, move || shutdown.requested()).patient_for(PATIENCE)
}

/// Keeps `current` equal to the learner's description, until shutdown or a failure of the device.
///
/// # Errors
/// Models that cannot be opened, and device failures.
pub async fn follow(
    parts: ScoringParts,
    current: watch::Sender<Option<Arc<Scoring>>>,
) -> Result<()> {
    parts.health.unmet("model", "waiting for the learner to describe the run's reward");
    let mut model = None;
    loop {
        let described = tokio::select! {
            () = parts.shutdown.wait() => return Ok(()),
            error = ended(&mut model) => return failed(&parts, error),
            described = parts.client.describe() => described,
        };
        let is_open = current.borrow().is_some();
        match described {
            Ok(run) if is_same(&current, &run) => {}
            Ok(run) => {
                current.send_replace(None);
                match open(&parts, run).await {
                    // Shutdown was requested while waiting for a reward server.
                    Err(_) if parts.shutdown.requested() => return Ok(()),
                    Err(error) => return failed(&parts, error),
                    Ok((scoring, end)) => {
                        model = Some(end);
                        current.send_replace(Some(Arc::new(scoring)));
                    }
                }
            }
            // The models stay: the learner may return with the same run.
            Err(error) if is_open => {
                tracing::debug!(%error, "could not get the run's description from the learner")
            }
            Err(error) => parts.health.unmet("model", format!("the run's reward: {error}")),
        }
        let pause = if current.borrow().is_some() { PAUSE } else { FIRST_PAUSE };
        tokio::select! {
            () = parts.shutdown.wait() => return Ok(()),
            error = ended(&mut model) => return failed(&parts, error),
            () = sleep(pause) => {}
        }
    }
}

/// Waits until the model's thread ends; forever if no thread runs.
async fn ended(model: &mut Option<ModelEnd>) -> Error {
    match model {
        None => std::future::pending().await,
        Some(end) => match end.await {
            Ok(failure) => failure.into(),
            Err(_) => anyhow!("rewarder: the reward model's thread has ended"),
        },
    }
}

fn failed(parts: &ScoringParts, error: Error) -> Result<()> {
    parts.health.unmet("model", format!("{error:#}"));
    Err(error)
}

fn is_same(current: &watch::Sender<Option<Arc<Scoring>>>, run: &RunDescription) -> bool {
    let current = current.borrow();
    current.as_ref().is_some_and(|scoring| {
        scoring.trajectories == run.trajectories && scoring.reward == run.reward.id()
    })
}

async fn open(parts: &ScoringParts, run: RunDescription) -> Result<(Scoring, ModelEnd)> {
    let RunDescription { trajectories, reward: spec } = run;
    let id = spec.id();
    parts.health.unmet("model", format!("opening {}", id.label));
    tracing::info!(run.id = trajectories.run_id, reward = %id, "opening the run's reward");
    let (opener, runtime) = (Arc::clone(&parts.open), parts.runtime.clone());
    device::set_numerics(spec.numerics)?;
    let opened = tokio::task::spawn_blocking(move || WORK.catch(|| opener(&spec, &runtime)));
    let opened = opened.await.context("the thread that opens the reward")??;
    let rewards = opened.map_err(|error| {
        let reward: Option<&RewardError> = error.downcast_ref();
        let failure = reward.and_then(|error| error.device_failure(WORK));
        failure.map_or(error, Error::from)
    })?;
    let pixel_maps = rewards.pixel_maps().to_vec();
    let (batcher, end) = Batcher::start(rewards, parts.batcher, parts.metrics.clone())?;
    parts.health.met("model", id.label.clone());
    Ok((Scoring { trajectories, reward: id, pixel_maps, batcher }, end))
}
