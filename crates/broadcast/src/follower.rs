//! Follows the current weights: woken by notices, and polling because notices may be lost.

use crate::error::BroadcastError;
use crate::manifest::Manifest;
use crate::weights::{Current, WeightStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Keeps an eye on the current weights of a run, in a task that ends when this is dropped. Failures
/// of the store are logged and tried again at the next poll.
#[derive(Debug)]
pub struct Follower {
    newest: watch::Receiver<Option<Arc<Manifest>>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Starts to follow, with a poll every `poll`.
    #[must_use]
    pub fn start(store: Arc<dyn WeightStore>, poll: Duration) -> Self {
        let (sender, newest) = watch::channel(None);
        let task = tokio::spawn(follow(store, poll, sender));
        Self { newest, task }
    }

    /// The manifest of the current weights, as far as is known. It changes with every stored copy:
    /// compare [`Manifest::weights_digest`] before weights are loaded again.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Manifest>> {
        self.newest.borrow().clone()
    }

    /// A receiver of its own, for another task.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Manifest>>> {
        self.newest.clone()
    }

    /// Waits until `deadline` for weights that were not yet seen through this method.
    ///
    /// # Errors
    /// [`BroadcastError::Timeout`] when none came.
    pub async fn changed(&mut self, deadline: Instant) -> Result<Arc<Manifest>, BroadcastError> {
        let began = Instant::now();
        loop {
            let changed = timeout_at(deadline, self.newest.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                let (action, after) = ("wait for new weights", began.elapsed());
                return Err(BroadcastError::Timeout { action, after });
            }
            if let Some(manifest) = self.newest.borrow_and_update().clone() {
                return Ok(manifest);
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    store: Arc<dyn WeightStore>,
    poll: Duration,
    newest: watch::Sender<Option<Arc<Manifest>>>,
) {
    let mut notices = store.notices();
    let mut seen = None;
    while !newest.is_closed() {
        if let Err(error) = look(store.as_ref(), &mut seen, &newest).await {
            tracing::warn!(%error, "the current weights cannot be read; trying again");
        }
        // A notice ends the wait early; without one, or when the store has no more, poll.
        if let Ok(Err(_)) = timeout(poll, notices.changed()).await {
            tokio::time::sleep(poll).await;
        }
    }
}

async fn look(
    store: &dyn WeightStore,
    seen: &mut Option<Current>,
    newest: &watch::Sender<Option<Arc<Manifest>>>,
) -> Result<(), BroadcastError> {
    let Some(current) = store.current().await? else { return Ok(()) };
    if seen.as_ref() == Some(&current) {
        return Ok(());
    }
    // After a wipe there may be no manifest to the pointer just read; the next poll sees the rest.
    if let Some(manifest) = store.manifest(current.id).await? {
        *seen = Some(current);
        newest.send_replace(Some(Arc::new(manifest)));
    }
    Ok(())
}
