//! A gRPC client of a service's Inspector: status, counters, trajectories and their changes.

use crate::services::wait::{PATIENCE, block_on, until};
use ddpo_proto::wire::inspector_client::InspectorClient;
use ddpo_proto::wire::{
    GetStatusRequest, GetStatusResponse, GetTrajectoryRequest, ListTrajectoriesRequest, Stage,
    TrajectoryEvent, TrajectorySummary, WatchTrajectoriesRequest,
};
use ddpo_service::auth::{AuthChannel, ClientAuth};
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Status, Streaming};

/// Timeout of a call. A dead or stopped service does not answer, and callers retry.
const ANSWER: Duration = Duration::from_secs(3);

/// A client of a service's Inspector.
#[derive(Clone, Debug)]
pub struct Inspector {
    client: InspectorClient<AuthChannel>,
}

impl Inspector {
    /// Makes a client for the service at `address`. It connects at the first call.
    ///
    /// # Panics
    /// If the address does not match the credentials.
    pub fn new(key: &ClientAuth, address: &str) -> Self {
        let client = block_on(async { InspectorClient::new(key.channel(address).expect("a key")) });
        Self { client }
    }

    /// Returns the status of the service.
    ///
    /// # Errors
    /// The error of the service or of the connection.
    pub fn status(&self) -> Result<GetStatusResponse, Status> {
        let mut client = self.client.clone();
        let mut request = Request::new(GetStatusRequest {});
        request.set_timeout(ANSWER);
        Ok(block_on(async { client.get_status(request).await })?.into_inner())
    }

    /// Returns a counter, or `None` if the service does not answer.
    ///
    /// # Panics
    /// If the service lacks the counter.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let status = self.status().ok()?;
        let count = status.counters.get(name);
        Some(*count.unwrap_or_else(|| panic!("no {name}: {:?}", status.counters)))
    }

    /// Waits until a counter is at least `least`, and returns it.
    ///
    /// # Panics
    /// If that takes too long.
    #[track_caller]
    pub fn reaches(&self, name: &str, least: u64) -> u64 {
        until(&format!("{name} >= {least}"), || self.counter(name).filter(|&now| now >= least))
    }

    /// Returns a trajectory, or `None` if the service does not have it.
    pub fn trajectory(&self, id: &str) -> Option<TrajectorySummary> {
        let mut client = self.client.clone();
        let asked = GetTrajectoryRequest { trajectory_id: id.to_owned(), with_image: false };
        let mut request = Request::new(asked);
        request.set_timeout(ANSWER);
        block_on(async { client.get_trajectory(request).await }).ok()?.into_inner().trajectory
    }

    /// Returns the trajectories of the service.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn list(&self) -> Vec<TrajectorySummary> {
        let mut client = self.client.clone();
        let request = Request::new(ListTrajectoriesRequest { limit: 1000 });
        let listed = block_on(async { client.list_trajectories(request).await });
        listed.expect("a list").into_inner().trajectories
    }

    /// Watches the changes from now on.
    ///
    /// # Panics
    /// If the service does not answer.
    pub fn watch(&self) -> News {
        let mut client = self.client.clone();
        let asked = WatchTrajectoriesRequest { with_thumbnails: false, thumbnail_side_pixels: 0 };
        let stream = block_on(async { client.watch_trajectories(asked).await });
        News { stream: stream.expect("news").into_inner() }
    }
}

/// A stream of changes.
#[derive(Debug)]
pub struct News {
    stream: Streaming<TrajectoryEvent>,
}

impl News {
    /// Returns the next change of a trajectory.
    ///
    /// # Panics
    /// If no change arrives in time.
    pub fn change(&mut self) -> TrajectorySummary {
        let next = block_on(async { timeout(PATIENCE, self.stream.message()).await });
        let event = next.expect("news in time").expect("an open stream").expect("more news");
        event.trajectory.expect("an event has a trajectory")
    }

    /// Waits for a trajectory that is partly drawn.
    pub fn growing(&mut self) -> TrajectorySummary {
        loop {
            let seen = self.change();
            let middle = (1..seen.steps_total).contains(&seen.steps_done);
            if seen.stage() == Stage::Growing && middle {
                return seen;
            }
        }
    }
}
