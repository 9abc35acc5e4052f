//! The sender's end of a trajectory stream. A device thread opens a trajectory, appends states as
//! they are made, and finishes it; a tokio task sends what it has credit for and keeps every
//! trajectory until its receipt. When a stream breaks, everything without a receipt is sent again
//! from its header, on a new stream.
//!
//! No method of a handle waits: the table of trajectories has no bound of its own, its caller
//! bounds how many it opens (see [`Uplink::in_flight`]).

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

/// Ends the task with the last [`Uplink`].
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.closed.cancel();
    }
}

/// See the [module](self). Clones are the same uplink; the last one to go ends it.
#[derive(Clone, Debug)]
pub struct Uplink {
    owner: Arc<Owner>,
}

impl Uplink {
    /// Starts the task on `runtime`. It connects when the first trajectory is opened.
    ///
    /// # Errors
    /// Settings that cannot work: no address, one that is no URI, a token that is no header value.
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

    /// Opens a trajectory. It is given up if the returned handle is dropped unfinished.
    ///
    /// # Errors
    /// A header that no receiver would take, or an uplink that is closed.
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

    /// Sends a whole trajectory, with a score for the learner. The states are not copied.
    ///
    /// # Errors
    /// A trajectory that no receiver would take, or an uplink that is closed.
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

    /// How many trajectories are open or without a receipt; changes can be awaited.
    pub fn in_flight(&self) -> watch::Receiver<usize> {
        self.shared().in_flight.subscribe()
    }

    /// Whether there is a stream, and why not.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.shared().link.subscribe()
    }

    /// What went out so far.
    pub fn counters(&self) -> &Arc<UplinkCounters> {
        &self.shared().counters
    }

    /// Waits until nothing is in flight, for `grace` at most, and ends the task. Returns how many
    /// trajectories were left without a receipt.
    pub async fn close(&self, grace: Duration) -> usize {
        let mut in_flight = self.in_flight();
        let flushed = in_flight.wait_for(|&left| left == 0);
        // Whether the time ran out shows in what is left.
        let _ = tokio::time::timeout(grace, flushed).await;
        self.shared().closed.cancel();
        let left = self.shared().table().len();
        self.shared().change(Table::clear);
        left
    }
}
