//! The state that an intake shares with its streams.

use super::counters::IntakeCounters;
use super::settings::IntakeSettings;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{Semaphore, watch};

#[derive(Debug)]
pub(super) struct Shared<H> {
    pub(super) handler: Arc<H>,
    pub(super) settings: IntakeSettings,
    pub(super) streams: Arc<Semaphore>,
    /// One permit per trajectory that the service may hold. From completion to receipt the
    /// service's [`ReceiptSender`] holds it, so it outlives a broken stream; otherwise the stream
    /// does.
    pub(super) trajectories: Arc<Semaphore>,
    pub(super) next_stream: AtomicU64,
    pub(super) draining: watch::Sender<bool>,
    pub(super) counters: Arc<IntakeCounters>,
}

impl<H> Shared<H> {
    pub(super) fn new(handler: Arc<H>, settings: IntakeSettings) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let trajectories =
            settings.max_streams.saturating_mul(settings.credits_per_stream as usize);
        Self {
            handler,
            streams: semaphore(settings.max_streams),
            trajectories: semaphore(trajectories),
            settings,
            next_stream: AtomicU64::new(0),
            draining: watch::Sender::new(false),
            counters: Arc::default(),
        }
    }
}
