//! The receiver's end of trajectory streams: grants credits, assembles frames, hands complete
//! trajectories to the service and sends its receipts back in any order.
//!
//! A service implements [`IntakeHandler`], makes an [`Intake`] of it and adds
//! [`Intake::rewarder_service`] or [`Intake::learner_service`] to its tonic server. Credits are
//! what bounds its memory: at most `max_streams * credits_per_stream` trajectories are with the
//! service or on their way to it, those counted whose stream has ended while the service still had
//! them. A credit goes back with its receipt.

mod handler;
mod serve;
mod session;

pub use handler::{IntakeEvent, IntakeHandler, IntakeKey, ReceiptSender, Refusal};
pub use serve::{LearnerIntake, RewarderIntake};

use crate::destination::Destination;
use ddpo_proto::limits::Limits;
use ddpo_proto::wire::{SubmitReply, TrajectoryFrame, learner_server, rewarder_server};
use session::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

/// What streams a receiver takes.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Trajectories that may be open or unanswered on one stream.
    pub credits_per_stream: u32,
    /// Streams at one time; one more is refused with RESOURCE_EXHAUSTED.
    pub max_streams: usize,
    /// A stream is closed after so long without a frame, unless all that it waits for is receipts;
    /// and after so long in which the peer takes no reply.
    pub idle_timeout: Duration,
    /// Bounds on what comes.
    pub limits: Limits,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            credits_per_stream: 16,
            max_streams: 64,
            idle_timeout: Duration::from_secs(600),
            limits: Limits::default(),
        }
    }
}

/// Counts what came, since the start.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Streams that are open now.
    pub streams: AtomicU64,
    /// Streams that were closed for a [`StreamError`](crate::assembler::StreamError).
    pub stream_errors: AtomicU64,
    /// Streams that were refused because there were too many.
    pub streams_refused: AtomicU64,
    /// Headers that were read.
    pub opened: AtomicU64,
    /// Trajectories that were handed to the service.
    pub completed: AtomicU64,
    /// Trajectories that were malformed.
    pub rejected: AtomicU64,
    /// Trajectories that their sender gave up, or whose stream broke before they were complete.
    pub lost: AtomicU64,
    /// Payload bytes of states.
    pub state_bytes: AtomicU64,
}

/// See the [module](self). Clones are the same intake.
#[derive(Debug)]
pub struct Intake<H> {
    shared: Arc<Shared<H>>,
}

impl<H> Clone for Intake<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<H> {
    handler: Arc<H>,
    settings: IntakeSettings,
    streams: Arc<Semaphore>,
    /// One permit for each trajectory that the service may hold: it is with its stream from credit
    /// to credit, but with the service's [`ReceiptSender`] from completion to receipt, and so
    /// outlives a stream that breaks in between.
    trajectories: Arc<Semaphore>,
    next_stream: AtomicU64,
    draining: watch::Sender<bool>,
    counters: Arc<IntakeCounters>,
}

const MAX_PERMITS: usize = Semaphore::MAX_PERMITS;

/// The replies of one stream, as tonic sends them.
pub(crate) type Replies = ReceiverStream<Result<SubmitReply, Status>>;

impl<H: IntakeHandler> Intake<H> {
    /// An intake that hands what comes to `handler`.
    #[must_use]
    pub fn new(handler: Arc<H>, settings: IntakeSettings) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(MAX_PERMITS)));
        let trajectories =
            settings.max_streams.saturating_mul(settings.credits_per_stream as usize);
        let shared = Shared {
            handler,
            streams: semaphore(settings.max_streams),
            trajectories: semaphore(trajectories),
            settings,
            next_stream: AtomicU64::new(0),
            draining: watch::Sender::new(false),
            counters: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// `Rewarder`, for a tonic server: trajectories without a score.
    #[must_use]
    pub fn rewarder_service(&self) -> rewarder_server::RewarderServer<RewarderIntake<H>> {
        let size = self.shared.settings.limits.max_message_bytes();
        rewarder_server::RewarderServer::new(RewarderIntake(self.clone()))
            .max_decoding_message_size(size)
    }

    /// `Learner`, for a tonic server: trajectories with a score.
    #[must_use]
    pub fn learner_service(&self) -> learner_server::LearnerServer<LearnerIntake<H>> {
        let size = self.shared.settings.limits.max_message_bytes();
        learner_server::LearnerServer::new(LearnerIntake(self.clone()))
            .max_decoding_message_size(size)
    }

    /// Takes nothing more: new streams are refused with UNAVAILABLE, open ones end with it as soon
    /// as everything that was handed to the service has its receipt. What was still growing, the
    /// sender sends elsewhere.
    pub fn drain(&self) {
        self.shared.draining.send_replace(true);
    }

    /// What came so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<IntakeCounters> {
        &self.shared.counters
    }

    /// Starts a session for one stream.
    pub(crate) fn accept(
        &self,
        frames: Streaming<TrajectoryFrame>,
        destination: Destination,
    ) -> Result<Response<Replies>, Status> {
        if *self.shared.draining.borrow() {
            return Err(Status::unavailable("the service is shutting down"));
        }
        let Ok(permit) = Arc::clone(&self.shared.streams).try_acquire_owned() else {
            self.shared.counters.streams_refused.fetch_add(1, Ordering::Relaxed);
            let limit = self.shared.settings.max_streams;
            return Err(Status::resource_exhausted(format!("expected at most {limit} streams")));
        };
        let number = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        // Some receipts and credits; when HTTP/2 takes no more of them, the session waits.
        let (sender, replies) = mpsc::channel(64);
        let session = Session::new(self.clone(), destination, number, sender);
        tokio::spawn(async move {
            session.run(frames).await;
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}
