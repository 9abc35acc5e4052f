//! Other services: their status and their trajectories, queried from their Inspectors.

use crate::fleet::Member;
use crate::playback::{SIDE, Snapshot, State};
use ddpo_proto::wire;
use ddpo_proto::wire::inspector_client::InspectorClient;
use ddpo_service::auth::{AuthChannel, AuthError, ClientAuth};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::sleep;
use tonic::Status;

/// Pause between two attempts to watch a service.
const PAUSE: Duration = Duration::from_secs(2);

/// Time between two resolutions of a host name, because samplers start and stop.
const RESOLVED: Duration = Duration::from_secs(10);

/// The services.
#[derive(Debug, Default)]
pub struct Peers {
    addresses: Vec<String>,
    auth: Option<ClientAuth>,
    channels: Mutex<BTreeMap<String, AuthChannel>>,
}

impl Peers {
    /// Creates clients for `addresses`, each `http(s)://host:port`, called with `auth`. Without TLS, a
    /// host name stands for all of its addresses; with TLS it is one service, because certificates are
    /// for names.
    ///
    /// # Errors
    /// [`AuthError::Address`] if an address does not match `auth`.
    pub fn new(addresses: Vec<String>, auth: ClientAuth) -> Result<Self, AuthError> {
        for address in &addresses {
            auth.endpoint(address)?;
        }
        Ok(Self { addresses, auth: Some(auth), channels: Mutex::default() })
    }

    /// Returns whether the list of services is empty.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Returns the present status of each service.
    pub(crate) async fn members(&self) -> Vec<Member> {
        let resolved = join_all(self.addresses.iter().map(|address| resolved(address))).await;
        let all: Vec<String> = resolved.into_iter().flatten().collect();
        join_all(all.iter().map(|address| self.member(address))).await
    }

    async fn member(&self, address: &str) -> Member {
        match self.status(address).await {
            Ok(status) => Member {
                role: status.service,
                name: status.worker_id,
                well: status.serving,
                doing: status.activity,
                version: status.policy_version,
                lag: None,
                in_flight: Some(status.trajectories_in_flight),
            },
            Err(status) => Member {
                role: "service".into(),
                name: address.to_owned(),
                doing: status.message().lines().next().unwrap_or_default().to_owned(),
                ..Member::default()
            },
        }
    }

    async fn status(&self, address: &str) -> Result<wire::GetStatusResponse, Status> {
        let mut client = InspectorClient::new(self.channel(address)?);
        Ok(client.get_status(wire::GetStatusRequest {}).await?.into_inner())
    }

    /// Calls `see` at each change of the services' trajectories, forever.
    pub(crate) async fn watch(&self, see: &(dyn Fn(Snapshot) + Sync)) {
        join_all(self.addresses.iter().map(|address| self.watch_name(address, see))).await;
        pending().await
    }

    /// Watches all addresses of a host name, and resolves the name periodically.
    async fn watch_name(&self, name: &str, see: &(dyn Fn(Snapshot) + Sync)) {
        loop {
            let known = resolved(name).await;
            let watched = join_all(known.iter().map(|address| self.watch_one(address, see)));
            let moved = async {
                while resolved(name).await == known {
                    sleep(RESOLVED).await;
                }
            };
            tokio::select! {
                _ = watched => {}
                () = moved => {}
            }
        }
    }

    async fn watch_one(&self, address: &str, see: &(dyn Fn(Snapshot) + Sync)) {
        loop {
            if let Err(status) = self.stream(address, see).await {
                tracing::debug!(address, %status, "a service cannot be watched");
            }
            sleep(PAUSE).await;
        }
    }

    async fn stream(&self, address: &str, see: &(dyn Fn(Snapshot) + Sync)) -> Result<(), Status> {
        let mut client = InspectorClient::new(self.channel(address)?);
        let asked = wire::WatchTrajectoriesRequest {
            with_thumbnails: true,
            thumbnail_side_pixels: SIDE as u32,
        };
        let mut events = client.watch_trajectories(asked).await?.into_inner();
        while let Some(event) = events.message().await? {
            if let Some(snapshot) = snapshot(event) {
                see(snapshot);
            }
        }
        Ok(())
    }

    fn channel(&self, address: &str) -> Result<AuthChannel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let auth = self.auth.as_ref().ok_or_else(|| Status::internal("no services"))?;
        let made = auth.channel(address).map_err(|error| Status::internal(error.to_string()))?;
        channels.insert(address.to_owned(), made.clone());
        Ok(made)
    }
}

fn snapshot(event: wire::TrajectoryEvent) -> Option<Snapshot> {
    let evaluation = event.trajectory.as_ref()?.purpose() == wire::Purpose::Evaluation;
    let grows = event.trajectory.as_ref()?.stage() == wire::Stage::Growing;
    let one = event.trajectory?;
    Some(Snapshot {
        id: one.trajectory_id,
        worker: one.worker_id,
        evaluation,
        epoch: one.epoch,
        sample: one.sample,
        version: one.policy_version,
        done: one.steps_done as usize,
        steps: one.steps_total as usize,
        grows,
        reward: one.reward,
        state: (!event.thumbnail_png.is_empty()).then(|| State::Png(event.thumbnail_png)),
    })
}

/// Returns the current addresses of a host name, sorted.
async fn resolved(address: &str) -> Vec<String> {
    let Some(place) = address.strip_prefix("http://") else { return vec![address.to_owned()] };
    let Ok(found) = lookup_host(place).await else { return vec![address.to_owned()] };
    let mut all: Vec<String> = found.map(|socket| format!("http://{socket}")).collect();
    all.sort();
    all.dedup();
    if all.is_empty() { vec![address.to_owned()] } else { all }
}
