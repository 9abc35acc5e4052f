//! The receiver of trajectory streams: grants credits, assembles frames, passes complete
//! trajectories to the service and sends its receipts in any order.
//!
//! A service implements [`IntakeHandler`], creates an [`Intake`] from it and adds
//! [`Intake::rewarder_service`] or [`Intake::learner_service`] to its tonic server. Credits bound
//! its memory: at most `max_streams * credits_per_stream` trajectories are arriving or held by the
//! service, including trajectories whose stream has ended. A credit is returned with its receipt.

mod counters;
mod handler;
mod serve;
mod session;
mod settings;
mod shared;

pub use counters::IntakeCounters;
pub use handler::{IntakeEvent, IntakeHandler, ReceiptSender, Refusal};
pub use serve::{LearnerIntake, RewarderIntake};
pub use settings::IntakeSettings;

use ddpo_proto::wire::{learner_server, rewarder_server};
use shared::Shared;
use std::sync::Arc;

/// The receiver of trajectory streams; see the [module](self). Clones share it.
#[derive(Debug)]
pub struct Intake<H> {
    shared: Arc<Shared<H>>,
}

impl<H> Clone for Intake<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<H: IntakeHandler> Intake<H> {
    /// Creates an intake that passes trajectories to `handler`.
    pub fn new(handler: Arc<H>, settings: IntakeSettings) -> Self {
        Self { shared: Arc::new(Shared::new(handler, settings)) }
    }

    /// Returns the service `Rewarder` for a tonic server: trajectories without a score.
    pub fn rewarder_service(&self) -> rewarder_server::RewarderServer<RewarderIntake<H>> {
        let size = self.shared.settings.limits.max_message_bytes();
        rewarder_server::RewarderServer::new(RewarderIntake(Arc::clone(&self.shared)))
            .max_decoding_message_size(size)
    }

    /// Returns the service `Learner` for a tonic server: trajectories with a score.
    pub fn learner_service(&self) -> learner_server::LearnerServer<LearnerIntake<H>> {
        let size = self.shared.settings.limits.max_message_bytes();
        learner_server::LearnerServer::new(LearnerIntake(Arc::clone(&self.shared)))
            .max_decoding_message_size(size)
    }

    /// Drains the intake: new streams are rejected with UNAVAILABLE. Open streams end with
    /// UNAVAILABLE as soon as all trajectories held by the service have receipts; senders resend
    /// incomplete ones to another address.
    pub fn drain(&self) {
        self.shared.draining.send_replace(true);
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Arc<IntakeCounters> {
        &self.shared.counters
    }
}
