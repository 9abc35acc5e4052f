//! Receives scored trajectories, offers each to the ledger and answers it at once.

use crate::service::ledger::{Counts, Decision, Ledger, Offer};
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_delivery::intake::{IntakeEvent, IntakeHandler, ReceiptSender, Refusal};
use ddpo_inspector::board::Board;
use ddpo_proto::convert::run::RunDescription;
use ddpo_proto::stream::{Opening, Verdict};
use ddpo_rollout::order::WeightsId;
use ddpo_service::intake::note;
use ddpo_service::telemetry::context::continue_from;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use tracing::field;

/// The answer to a sender before the run is open.
pub const NOT_READY: &str = "the learner is not ready yet";

/// The handler of incoming trajectories.
pub struct Arrivals {
    /// Decides on each trajectory; unset until the run is open and the lease is held.
    ledger: OnceLock<Arc<Ledger>>,
    /// The board of the live page.
    board: Board,
}

impl Arrivals {
    /// Creates a handler that answers "retry later" until [`Arrivals::begin`].
    pub fn new(board: Board) -> Self {
        Self { ledger: OnceLock::new(), board }
    }

    /// Offers trajectories to `ledger` from now on.
    pub fn begin(&self, ledger: Arc<Ledger>) {
        // A second call keeps the first ledger.
        let _ = self.ledger.set(ledger);
    }

    /// Returns whether [`Arrivals::begin`] was called.
    pub fn is_open(&self) -> bool {
        self.ledger.get().is_some()
    }

    /// Returns the number of ordered samples that have not arrived, and of trajectories that
    /// arrived but are not used yet.
    pub fn waiting(&self) -> (usize, usize) {
        self.ledger.get().map_or((0, 0), |ledger| (ledger.awaited(), ledger.held()))
    }

    fn verdict(&self, id: &str, trajectory: IncomingTrajectory) -> (Verdict, String) {
        let Some(ledger) = self.ledger.get() else {
            return (Verdict::RetryLater, NOT_READY.to_owned());
        };
        verdict_of(id, decide(ledger, trajectory))
    }

    /// Returns the number of decisions of each kind.
    pub fn counts(&self) -> Counts {
        self.ledger.get().map(|ledger| ledger.counts()).unwrap_or_default()
    }
}

impl IntakeHandler for Arrivals {
    fn admit(&self, opening: &Opening) -> Result<(), Refusal> {
        let Some(ledger) = self.ledger.get() else {
            return Err(Refusal { verdict: Verdict::RetryLater, reason: NOT_READY.to_owned() });
        };
        let identity = &opening.identity;
        let admitted = ledger.admit(&identity.run_id, opening.weights(), &opening.header);
        admitted.map_err(|decision| {
            let (verdict, reason) = verdict_of(&identity.trajectory_id, decision);
            Refusal { verdict, reason }
        })
    }

    fn describe(&self) -> Option<RunDescription> {
        let run = self.ledger.get()?.run().clone();
        Some(RunDescription { trajectories: run.trajectories, reward: run.reward })
    }

    fn on_event(&self, event: IntakeEvent<'_>) {
        note(&self.board, event);
    }

    fn complete(
        &self,
        trajectory: IncomingTrajectory,
        receipt: ReceiptSender,
    ) -> impl Future<Output = ()> + Send {
        let id = trajectory.identity.trajectory_id.clone();
        let span = tracing::info_span!("accept", trajectory.id = id, verdict = field::Empty);
        if let Some(traceparent) = &trajectory.identity.traceparent {
            continue_from(&span, traceparent);
        }
        let _entered = span.enter();
        if let Some(score) = &trajectory.score {
            self.board.complete(&id, &trajectory.log_probs);
            self.board.scored(&id, score);
        }
        let (verdict, reason) = self.verdict(&id, trajectory);
        span.record("verdict", verdict.name());
        match verdict {
            Verdict::Accepted | Verdict::Duplicate => self.board.accepted(&id),
            _ => self.board.rejected(&id, &reason),
        }
        receipt.answer(verdict, reason);
        std::future::ready(())
    }
}

/// Returns the verdict on a trajectory and its reason.
fn verdict_of(id: &str, decision: Decision) -> (Verdict, String) {
    match decision {
        Decision::Accepted => (Verdict::Accepted, String::new()),
        Decision::Duplicate => (Verdict::Duplicate, "the learner has it".to_owned()),
        Decision::Stale(reason) => (Verdict::Stale, reason),
        Decision::Invalid(reason) => {
            tracing::warn!(trajectory.id = id, %reason, "a trajectory does not match its order");
            (Verdict::Invalid, reason)
        }
    }
}

fn decide(ledger: &Ledger, trajectory: IncomingTrajectory) -> Decision {
    let identity = &trajectory.identity;
    let version = trajectory.header.policy_version;
    let weights = WeightsId { version, track: identity.track };
    let run_id = identity.run_id.clone();
    let Some(reward) = trajectory.reward.clone() else {
        return Decision::Invalid("score: expected one, found none".to_owned());
    };
    match trajectory.into_scored() {
        Ok(scored) => ledger.offer(Offer { run_id, weights, reward, scored }),
        Err(error) => Decision::Invalid(error.to_string()),
    }
}
