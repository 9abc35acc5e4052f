//! Forwards trajectories: scores the image of each, sends trajectory and score to the learner, and
//! passes the learner's receipt back. Forwards all states unchanged.

use crate::service::batcher::ScoringError;
use crate::service::scoring::{CurrentScoring, Scoring};
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_delivery::intake::{IntakeEvent, IntakeHandler, ReceiptSender, Refusal};
use ddpo_delivery::uplink::Uplink;
use ddpo_inspector::board::Board;
use ddpo_proto::stream::{GivenScore, Opening, Verdict};
use ddpo_rewards::Image;
use ddpo_rollout::image::{ImageError, PixelMap};
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::decode;
use ddpo_service::intake::note;
use ddpo_service::telemetry::context::{continue_from, traceparent};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, field};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct RelayCounters {
    /// Images scored.
    pub scored: AtomicU64,
    /// Trajectories that cannot be scored.
    pub refused: AtomicU64,
    /// Receipts passed back.
    pub answered: AtomicU64,
    /// Failed attempts to score, including retried ones.
    pub failed: AtomicU64,
    /// Failed attempts because the reward was not finite.
    pub not_finite: AtomicU64,
}

/// Errors from scoring a trajectory.
#[derive(Debug, Error)]
enum RelayError {
    /// The last state cannot be converted to an image.
    #[error("trajectory {id}: x_0: {source}")]
    Image { id: String, source: ImageError },
    /// The learner has not described its reward yet.
    #[error("the rewarder waits for the learner to describe the run's reward")]
    NoReward,
    /// The trajectory belongs to another run.
    #[error("run: expected {expected}, which this rewarder scores for, found {found}")]
    OtherRun { expected: String, found: String },
    /// The reward model failed.
    #[error("trajectory {id}: {source}")]
    Model { id: String, source: ScoringError },
}

impl RelayError {
    /// Returns whether sending the trajectory again cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::Image { .. } => true,
            Self::NoReward | Self::OtherRun { .. } => false,
            Self::Model { source, .. } => matches!(source, ScoringError::Refused(_)),
        }
    }

    fn is_not_finite(&self) -> bool {
        match self {
            Self::Model { source: ScoringError::Refused(error), .. } => error.is_not_finite(),
            _ => false,
        }
    }
}

/// The handler of incoming trajectories.
pub struct Relay {
    current: CurrentScoring,
    uplink: Uplink,
    board: Board,
    counters: Arc<RelayCounters>,
    running: TaskTracker,
}

impl Relay {
    /// Makes a relay that scores with the models of `current` and sends to `uplink`.
    pub fn new(current: CurrentScoring, uplink: Uplink, board: Board) -> Self {
        Self { current, uplink, board, counters: Arc::default(), running: TaskTracker::new() }
    }

    /// Returns the models for trajectories of a run.
    fn scoring(&self, run_id: &str) -> Result<Arc<Scoring>, RelayError> {
        let current = self.current.borrow().clone().ok_or(RelayError::NoReward)?;
        let expected = &current.trajectories.run_id;
        if expected == run_id {
            Ok(current)
        } else {
            let (expected, found) = (expected.clone(), run_id.to_owned());
            Err(RelayError::OtherRun { expected, found })
        }
    }

    /// Returns the counters since the start.
    pub fn counters(&self) -> &Arc<RelayCounters> {
        &self.counters
    }

    /// Waits until every accepted trajectory has its receipt.
    pub async fn settle(&self) {
        self.running.close();
        self.running.wait().await;
    }

    async fn score(
        &self,
        scoring: &Scoring,
        trajectory: &IncomingTrajectory,
    ) -> Result<Score, RelayError> {
        let image = image(trajectory, &scoring.pixel_maps)?;
        let id = || trajectory.identity.trajectory_id.clone();
        let score = scoring.batcher.score(image, trajectory.header.purpose).await;
        score.map_err(|source| RelayError::Model { id: id(), source })
    }
}

fn image(trajectory: &IncomingTrajectory, maps: &[PixelMap]) -> Result<Image, RelayError> {
    let id = || trajectory.identity.trajectory_id.clone();
    let shape = trajectory.header.shape;
    let last = trajectory.states.last().map_or(&[][..], |state| state);
    let state = decode(last, trajectory.header.dtype);
    Image::of_state(&state, (shape.channels, shape.height, shape.width), maps)
        .map_err(|source| RelayError::Image { id: id(), source })
}

/// The relay, as a handler of the intake.
pub struct RelayHandler(pub Arc<Relay>);

impl IntakeHandler for RelayHandler {
    fn admit(&self, opening: &Opening) -> Result<(), Refusal> {
        let run_id = &opening.identity.run_id;
        let scoring = self.0.scoring(run_id).map_err(|error| {
            let reason = error.to_string();
            Refusal { verdict: Verdict::RetryLater, reason }
        })?;
        let invalid = |reason| Refusal { verdict: Verdict::Invalid, reason };
        let fits = scoring.trajectories.check(run_id, &opening.header);
        fits.map_err(|misfit| {
            let id = &opening.identity.trajectory_id;
            tracing::warn!(trajectory.id = id, %misfit, "a trajectory does not match the run");
            invalid(misfit.to_string())
        })?;
        match opening.header.shape.channels {
            1 | 3 => Ok(()),
            found => {
                let expected = "shape: expected 1 or 3 channels, for an image";
                Err(invalid(format!("{expected}, found {found}")))
            }
        }
    }

    fn on_event(&self, event: IntakeEvent<'_>) {
        note(&self.0.board, event);
    }

    fn complete(
        &self,
        mut trajectory: IncomingTrajectory,
        receipt: ReceiptSender,
    ) -> impl Future<Output = ()> + Send {
        let relay = Arc::clone(&self.0);
        let identity = &mut trajectory.identity;
        let id = &identity.trajectory_id;
        let span = tracing::info_span!("relay", trajectory.id = id, verdict = field::Empty);
        if let Some(sent) = &identity.traceparent {
            continue_from(&span, sent);
        }
        // The learner's span is a child of this one, or of the sampler's if this process has no
        // collector.
        identity.traceparent = traceparent(&span).or_else(|| identity.traceparent.take());
        let passing = async move { pass_on(&relay, trajectory, receipt).await };
        self.0.running.spawn(passing.instrument(span));
        std::future::ready(())
    }
}

async fn pass_on(relay: &Relay, trajectory: IncomingTrajectory, receipt: ReceiptSender) {
    let id = trajectory.identity.trajectory_id.clone();
    relay.board.complete(&id, &trajectory.log_probs);
    let span = tracing::info_span!("score", trajectory.id = id, reward = field::Empty);
    let scored = async {
        let scoring = relay.scoring(&trajectory.identity.run_id)?;
        let score = relay.score(&scoring, &trajectory).await?;
        Ok::<_, RelayError>(GivenScore { score, reward: scoring.reward.clone() })
    };
    let given = match scored.instrument(span.clone()).await {
        Ok(given) => given,
        Err(error) => {
            relay.counters.failed.fetch_add(1, Ordering::Relaxed);
            let not_finite = u64::from(error.is_not_finite());
            relay.counters.not_finite.fetch_add(not_finite, Ordering::Relaxed);
            relay.board.rejected(&id, &error.to_string());
            if !error.is_final() {
                // The sampler sends it again; the cause is logged once elsewhere.
                tracing::debug!(trajectory.id = id, %error, "no score yet");
                return receipt.answer(Verdict::RetryLater, error.to_string());
            }
            tracing::error!(trajectory.id = id, %error, "no score");
            relay.counters.refused.fetch_add(1, Ordering::Relaxed);
            return receipt.answer(Verdict::Invalid, error.to_string());
        }
    };
    span.record("reward", given.score.reward);
    drop(span);
    relay.counters.scored.fetch_add(1, Ordering::Relaxed);
    relay.board.scored(&id, &given.score);
    let pending = match relay.uplink.send(trajectory, Some(given)) {
        Ok(pending) => pending,
        Err(error) => {
            relay.board.rejected(&id, &error.to_string());
            return receipt.answer(Verdict::RetryLater, error.to_string());
        }
    };
    match pending.await {
        Ok(answer) => {
            match answer.verdict {
                Verdict::Accepted | Verdict::Duplicate => relay.board.accepted(&id),
                _ => relay.board.rejected(&id, &answer.reason),
            }
            relay.counters.answered.fetch_add(1, Ordering::Relaxed);
            Span::current().record("verdict", answer.verdict.name());
            receipt.answer(answer.verdict, answer.reason);
        }
        // The uplink was closed; the sampler sends the trajectory to another rewarder.
        Err(error) => relay.board.rejected(&id, &error.to_string()),
    }
}
