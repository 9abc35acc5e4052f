//! The reward that the rewarder scores for: asked of the learner, opened, and replaced when the learner
//! describes another one.

use crate::service::batcher::{Batcher, BatcherConfig, ModelEnd, WORK};
use anyhow::{Context, Error, Result, anyhow};
use ddpo_delivery::run::RunClient;
use ddpo_diffusion::device;
use ddpo_proto::convert::run::RunDescription;
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rewards::{RewardError, RewardRuntime, Rewards};
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::reward::{RewardId, RewardSpec};
use ddpo_service::health::Health;
use ddpo_service::metrics::Metrics;
use ddpo_service::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Pause between two questions to the learner.
const PAUSE: Duration = Duration::from_secs(2);

/// The pause until the learner has first described its run.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest time that trajectories are held for a reward server that does not answer, before they go
/// back to their samplers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The models of one run's reward.
pub struct Scoring {
    /// The run.
    pub run_id: String,
    /// The name of the reward, which each score carries.
    pub reward: RewardId,
    /// The map from states to 8-bit images.
    pub pixel_map: PixelMap,
    /// The queue before the models.
    pub batcher: Batcher,
}

/// The models in use; `None` until they are open.
pub type CurrentScoring = watch::Receiver<Option<Arc<Scoring>>>;

/// Opens the models of a specification.
pub type OpenRewards = dyn Fn(&RewardSpec, &RewardRuntime) -> Result<Rewards> + Send + Sync;

/// What opening a reward needs.
pub struct ScoringParts {
    /// Asks the learner.
    pub client: RunClient,
    /// Where the models run; waits for reward servers with [`waiting`].
    pub runtime: RewardRuntime,
    /// When a batch is scored.
    pub batcher: BatcherConfig,
    /// Opens the models of a specification.
    pub open: Arc<OpenRewards>,
    /// The service's health, whose condition `model` is set here.
    pub health: Health,
    /// Metrics of the batches.
    pub metrics: Metrics,
    /// Ends the task.
    pub shutdown: Shutdown,
}

/// Returns how a reward server is waited for: while none answers, the condition `model` is not met, and
/// samplers are told to send again later.
pub fn waiting(health: &Health, shutdown: &Shutdown) -> Waiting {
    let (health, shutdown) = (health.clone(), shutdown.clone());
    let tell = move |reach: &Reach| match reach {
        Reach::Lost(line) => health.unmet("model", line.clone()),
        Reach::Found(line) => health.met("model", line.clone()),
    };
    Waiting::new(tell, move || shutdown.requested()).patient_for(PATIENCE)
}

/// Keeps `current` equal to what the learner describes, until shutdown or until the device fails.
///
/// # Errors
/// Models that cannot be opened, and failures of their device.
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
                    // Asked to stop while it waited for a reward server.
                    Err(_) if parts.shutdown.requested() => return Ok(()),
                    Err(error) => return failed(&parts, error),
                    Ok((scoring, end)) => {
                        model = Some(end);
                        current.send_replace(Some(Arc::new(scoring)));
                    }
                }
            }
            // The models stay: the learner may be back with the same run.
            Err(error) if is_open => {
                tracing::debug!(%error, "the learner does not describe its run")
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

/// Waits for the end of the model's thread; for ever if there is none.
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
    current
        .as_ref()
        .is_some_and(|scoring| scoring.run_id == run.run_id && scoring.reward == run.reward.id())
}

async fn open(parts: &ScoringParts, run: RunDescription) -> Result<(Scoring, ModelEnd)> {
    let RunDescription { run_id, reward: spec } = run;
    let id = spec.id();
    parts.health.unmet("model", format!("opening {}", id.label));
    tracing::info!(run.id = run_id, reward = %id, "opening the run's reward");
    let (pixel_map, opener, runtime) =
        (spec.pixel_map, Arc::clone(&parts.open), parts.runtime.clone());
    device::set_numerics(spec.numerics)?;
    let opened = tokio::task::spawn_blocking(move || WORK.catch(|| opener(&spec, &runtime)));
    let opened = opened.await.context("the thread that opens the reward")??;
    let rewards = opened.map_err(|error| {
        let reward: Option<&RewardError> = error.downcast_ref();
        let failure = reward.and_then(|error| error.device_failure(WORK));
        failure.map_or(error, Error::from)
    })?;
    let (batcher, end) = Batcher::start(rewards, parts.batcher, parts.metrics.clone())?;
    parts.health.met("model", id.label.clone());
    Ok((Scoring { run_id, reward: id, pixel_map, batcher }, end))
}
