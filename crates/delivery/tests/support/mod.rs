//! Trajectories, frames and servers for the tests.
#![allow(dead_code, reason = "every test file uses a part")]

use bytes::Bytes;
use ddpo_delivery::destination::Destination;
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_delivery::intake::{
    Intake, IntakeEvent, IntakeHandler, IntakeSettings, ReceiptSender, Refusal,
};
use ddpo_delivery::transport::{KeepAlive, server};
use ddpo_delivery::uplink::{Backoff, UplinkSettings};
use ddpo_proto::convert::{header, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::{GivenScore, Opening, TrajectoryIdentity, Verdict};
use ddpo_proto::wire::{self, trajectory_frame::Content};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::{Component, Score};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;

/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a limited time.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Returns a header of `steps` steps, all random except the last.
pub fn opening(sample: u32, steps: usize, shape: [usize; 3]) -> Opening {
    let [channels, height, width] = shape;
    Opening {
        identity: TrajectoryIdentity {
            trajectory_id: format!("run/0/{sample}"),
            run_id: "run".to_owned(),
            order_id: "order".to_owned(),
            attempt: 1,
            worker_id: "worker".to_owned(),
            incarnation: 7,
            track: Track::Policy,
            traceparent: None,
        },
        header: TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: 1, epoch: 0, sample },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion(3),
            weights_digest: Digest::of(b"weights"),
            scheduler_digest: Digest::of(b"scheduler"),
            dtype: StateDtype::F32,
            shape: StateShape { channels, height, width },
            timesteps: (0..steps as i64).rev().collect(),
            random_steps: (0..steps.saturating_sub(1)).collect(),
            kept_states: TrajectoryHeader::all_states(steps),
        },
    }
}

/// Returns a trajectory whose bytes all differ.
pub fn trajectory(opening: &Opening) -> IncomingTrajectory {
    let state = |index: usize| -> Bytes {
        let salt = opening.header.coordinates.sample as usize * 31 + index * 7;
        // Below 127, so that values are finite in every type.
        (0..opening.state_bytes()).map(|at| ((at % 251 + salt) % 127) as u8).collect()
    };
    IncomingTrajectory {
        identity: opening.identity.clone(),
        header: opening.header.clone(),
        states: (0..opening.state_count()).map(state).collect(),
        log_probs: (0..opening.header.random_steps.len()).map(|k| -0.5 - k as f32).collect(),
        score: None,
        reward: None,
    }
}

/// Returns a small trajectory of three states.
pub fn small(sample: u32) -> IncomingTrajectory {
    trajectory(&opening(sample, 2, [3, 4, 4]))
}

pub fn task_score(reward: f32) -> GivenScore {
    let components = vec![Component { name: "bytes".to_owned(), value: 12.0 }];
    GivenScore { score: Score { reward, components }, reward: reward_id() }
}

/// Returns the reward of all scores in these tests.
pub fn reward_id() -> RewardId {
    RewardId { label: "jpeg".to_owned(), digest: Digest([6; 32]) }
}

pub fn frame(slot: u32, content: Content) -> wire::TrajectoryFrame {
    wire::TrajectoryFrame { slot, content: Some(content) }
}

pub fn chunk(slot: u32, state: u32, offset: usize, payload: Bytes) -> wire::TrajectoryFrame {
    let payload_crc32 = crc32fast::hash(&payload);
    let offset_bytes = offset as u64;
    frame(slot, Content::Chunk(wire::StateChunk { state, offset_bytes, payload, payload_crc32 }))
}

/// Returns all frames of a trajectory, with states cut into pieces of `piece` bytes.
pub fn frames(
    slot: u32,
    trajectory: &IncomingTrajectory,
    scored: Option<&GivenScore>,
    piece: usize,
) -> Vec<wire::TrajectoryFrame> {
    let IncomingTrajectory { identity, header, .. } = trajectory.clone();
    let opening = Opening { identity, header };
    let limits = Limits::default();
    let mut frames =
        vec![frame(slot, Content::Header(header::to_wire(&opening, &limits).unwrap()))];
    for (index, state) in trajectory.states.iter().enumerate() {
        for at in (0..state.len()).step_by(piece) {
            let payload = state.slice(at..state.len().min(at + piece));
            frames.push(chunk(slot, index as u32, at, payload));
        }
    }
    let log_probs = trajectory.log_probs.clone();
    frames.push(frame(slot, Content::Footer(wire::TrajectoryFooter { log_probs })));
    if let Some(scored) = scored {
        frames.push(frame(slot, Content::Score(score::to_wire(scored, &limits).unwrap())));
    }
    frames
}

/// Events of a test's handler, in order.
#[derive(Debug)]
pub enum Seen {
    Event(String),
    Complete(Box<IncomingTrajectory>, ReceiptSender),
}

/// Passes everything to the test, which answers; rejects the trajectory named by `stale`.
#[derive(Debug)]
pub struct Recorder {
    seen: mpsc::UnboundedSender<Seen>,
    pub stale: Option<String>,
}

impl Recorder {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Seen>) {
        let (seen, receiver) = mpsc::unbounded_channel();
        (Self { seen, stale: None }, receiver)
    }
}

impl IntakeHandler for Recorder {
    fn admit(&self, opening: &Opening) -> Result<(), Refusal> {
        if self.stale.as_ref() == Some(&opening.identity.trajectory_id) {
            return Err(Refusal { verdict: Verdict::Stale, reason: "epoch over".to_owned() });
        }
        Ok(())
    }

    fn on_event(&self, event: IntakeEvent<'_>) {
        let id = |opening: &Opening| opening.identity.trajectory_id.clone();
        let text = match event {
            IntakeEvent::Opened { opening } => format!("opened {}", id(opening)),
            IntakeEvent::State { opening, index, .. } => format!("state {index} {}", id(opening)),
            IntakeEvent::Abandoned { opening, reason } => {
                format!("abandoned {} {reason}", id(opening))
            }
            IntakeEvent::Lost { opening } => format!("lost {}", id(opening)),
            IntakeEvent::Rejected { trajectory_id, error } => {
                format!("rejected {trajectory_id} {error}")
            }
        };
        let _ = self.seen.send(Seen::Event(text));
    }

    async fn complete(&self, trajectory: IncomingTrajectory, receipt: ReceiptSender) {
        let _ = self.seen.send(Seen::Complete(Box::new(trajectory), receipt));
    }
}

/// Binds as soon as the previous server has released the address.
fn bind(address: SocketAddr) -> std::net::TcpListener {
    let start = std::time::Instant::now();
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{address}: {error}"),
        }
        std::thread::yield_now();
    }
}

/// A server in a separate runtime: dropping it closes all connections immediately.
pub struct TestServer {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
    pub intake: Intake<Recorder>,
    pub seen: mpsc::UnboundedReceiver<Seen>,
}

impl TestServer {
    pub fn start(destination: Destination, settings: IntakeSettings) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), destination, settings, None)
    }

    pub fn start_at(
        address: SocketAddr,
        destination: Destination,
        settings: IntakeSettings,
        stale: Option<String>,
    ) -> Self {
        let (mut recorder, seen) = Recorder::new();
        recorder.stale = stale;
        let intake = Intake::new(Arc::new(recorder), settings);
        let listener = bind(address);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let serving = intake.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let mut builder = server(KeepAlive::default());
            let router = match destination {
                Destination::Rewarder => builder.add_service(serving.rewarder_service()),
                Destination::Learner => builder.add_service(serving.learner_service()),
            };
            router.serve_with_incoming(incoming).await.unwrap();
        });
        Self { runtime: Some(runtime), address, intake, seen }
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the next complete trajectory, skipping events.
    pub async fn complete(&mut self) -> (IncomingTrajectory, ReceiptSender) {
        loop {
            if let Seen::Complete(trajectory, receipt) = self.next().await {
                return (*trajectory, receipt);
            }
        }
    }

    /// Waits for an event with this prefix, skipping complete trajectories.
    pub async fn event(&mut self, start: &str) -> String {
        loop {
            if let Seen::Event(text) = self.next().await
                && text.starts_with(start)
            {
                return text;
            }
        }
    }

    async fn next(&mut self) -> Seen {
        within("event of the intake", self.seen.recv()).await.unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns settings of an uplink with short pauses.
pub fn uplink_settings(destination: Destination, addresses: Vec<String>) -> UplinkSettings {
    UplinkSettings {
        backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50) },
        receipt_timeout: PATIENCE,
        ..UplinkSettings::new(destination, addresses)
    }
}
