//! The sender of a trajectory stream. A device thread opens a trajectory, appends states as they
//! are computed, and finishes it. A tokio task sends within its credits and keeps every trajectory
//! until its receipt. When a stream breaks, all trajectories without a receipt are resent from
//! their headers on a new stream.
//!
//! No method of a handle blocks. The table of trajectories is unbounded; the caller bounds how many
//! it opens (see [`Uplink::in_flight`]).

mod backoff;
mod body;
mod counters;
mod entry;
mod link;
mod outgoing;
mod settings;
mod shared;
mod stream;
mod table;
mod task;

pub use backoff::Backoff;
pub use counters::UplinkCounters;
pub use link::LinkState;
pub use outgoing::{NoReceipt, OutgoingTrajectory, PendingReceipt, Unsendable};
pub use settings::{NotAnUplink, UplinkSettings};

use crate::incoming::IncomingTrajectory;
use ddpo_proto::convert::header;
use ddpo_proto::stream::{GivenScore, Opening};
use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use table::Table;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Ends the task when the last [`Uplink`] is dropped.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.closed.cancel();
    }
}

/// The sender of a trajectory stream; see the [module](self). Clones share it; dropping the last
/// one ends it.
#[derive(Clone, Debug)]
pub struct Uplink {
    owner: Arc<Owner>,
}

impl Uplink {
    /// Starts the task on `runtime`. It connects when the first trajectory is opened.
    ///
    /// # Errors
    /// Invalid settings: no address, an address that is not a URI, or a token that is not a valid
    /// header value.
    pub fn start(settings: UplinkSettings, runtime: &Handle) -> Result<Self, NotAnUplink> {
        let endpoints = settings.endpoints()?;
        let bearer = settings.bearer()?;
        let shared = Arc::new(Shared::new(settings));
        runtime.spawn(task::run(Arc::clone(&shared), endpoints, bearer));
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    /// Opens a trajectory. Dropping the returned handle before it is finished abandons the
    /// trajectory.
    ///
    /// # Errors
    /// A header that receivers would reject, or a closed uplink.
    pub fn open(
        &self,
        opening: Opening,
    ) -> Result<(OutgoingTrajectory, PendingReceipt), Unsendable> {
        let shared = self.shared();
        if shared.closed.is_cancelled() {
            return Err(Unsendable::Closed);
        }
        let header = header::to_wire(&opening, &shared.settings.limits)?;
        let (sender, receipt) = tokio::sync::oneshot::channel();
        let id = shared.change(|table| table.insert(header, sender));
        shared.wake.notify_one();
        let trajectory = OutgoingTrajectory::new(Arc::clone(shared), id, &opening);
        Ok((trajectory, PendingReceipt(receipt)))
    }

    /// Sends a complete trajectory, with a score for the learner. The states are not copied.
    ///
    /// # Errors
    /// A trajectory that receivers would reject, or a closed uplink.
    pub fn send(
        &self,
        trajectory: IncomingTrajectory,
        score: Option<GivenScore>,
    ) -> Result<PendingReceipt, Unsendable> {
        let IncomingTrajectory { identity, header, states, log_probs, .. } = trajectory;
        let (mut outgoing, receipt) = self.open(Opening { identity, header })?;
        for state in states {
            outgoing.append_state(state)?;
        }
        outgoing.finish(log_probs, score)?;
        Ok(receipt)
    }

    /// Returns a receiver of the number of trajectories that are open or without a receipt.
    pub fn in_flight(&self) -> watch::Receiver<usize> {
        self.shared().in_flight.subscribe()
    }

    /// Returns a receiver of the link's state.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.shared().link.subscribe()
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Arc<UplinkCounters> {
        &self.shared().counters
    }

    /// Waits until nothing is in flight, for at most `grace`, and ends the task. Returns the number
    /// of trajectories without a receipt.
    pub async fn close(&self, grace: Duration) -> usize {
        let mut in_flight = self.in_flight();
        let flushed = in_flight.wait_for(|&left| left == 0);
        // The number of trajectories left shows whether the time was over.
        let _ = tokio::time::timeout(grace, flushed).await;
        self.shared().closed.cancel();
        let left = self.shared().table().len();
        self.shared().change(Table::clear);
        left
    }
}
