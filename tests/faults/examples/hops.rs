//! Measures the throughput of trajectories, compared with plain TCP in the same run: over one hop (uplink to
//! intake), and over the whole path from sampler through the rewarder's relay to the learner. A trajectory has
//! the size of celebahq-256: 41 states of 3x256x256 f32, 32 MB. All three check every received byte.
//!
//! `cargo run --release -p ddpo-faults --example hops -- [TRAJECTORIES] [ROUNDS]`
//!
//! Prints one line of JSON. Memory is the peak of this process, which contains all services, over 32 and over
//! 256 trajectories. Both are equal if credits bound the memory.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench stops at the first error")]

use bytes::Bytes;
use ddpo_delivery::destination::Destination;
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_delivery::intake::{Intake, IntakeHandler, IntakeSettings, ReceiptSender};
use ddpo_delivery::transport::{KeepAlive, server};
use ddpo_delivery::uplink::{Uplink, UplinkSettings};
use ddpo_doubles::mean_level::MeanLevel;
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_proto::stream::{Opening, TrajectoryIdentity, Verdict};
use ddpo_rewarder::service::batcher::{Batcher, BatcherConfig};
use ddpo_rewarder::service::relay::{Relay, RelayHandler};
use ddpo_rewarder::service::scoring::Scoring;
use ddpo_rewards::Rewards;
use ddpo_rollout::facts::TrajectoryFacts;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::reward::{RewardSpec, Task};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use ddpo_service::metrics::Metrics;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;

const SHAPE: StateShape = StateShape { channels: 3, height: 256, width: 256 };
const STEPS: usize = 40;
/// Name of the run.
const RUN: &str = "hops";
/// Trajectories without a receipt, at the sender and at each receiver.
const CREDITS: u32 = 4;

#[tokio::main]
async fn main() {
    // Like the services.
    ddpo_service::memory::keep_freed_memory();
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let (trajectories, rounds) = (arguments.next().unwrap_or(16), arguments.next().unwrap_or(7));
    let sent = Arc::new(states());
    let (hop, way) = (Way::hop(&sent), Way::whole(&sent));

    let mut rows = Rows::default();
    // The first round warms up.
    for round in 0..=rounds {
        let raw = raw(&sent, trajectories).await;
        let [hop, way] = [hop.time(&sent, trajectories).await, way.time(&sent, trajectories).await];
        if round > 0 {
            rows.push(trajectories * sent.len() * sent[0].len(), raw, hop, way);
        }
    }
    let mut peaks = Vec::new();
    for trajectories in [32, 256] {
        forget_peak();
        way.time(&sent, trajectories).await;
        peaks.push((trajectories.to_string(), peak_rss_mb().into()));
    }
    println!("{}", rows.json(&sent, trajectories, peaks.into_iter().collect()));
}

/// Returns the states of one trajectory: random levels in [-1, 1], different in each state.
fn states() -> Vec<Bytes> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = move || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        (word >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let elements = SHAPE.elements();
    let mut state = || (0..elements).flat_map(|_| value().to_le_bytes()).collect();
    (0..=STEPS).map(|_| state()).collect()
}

/// Measures the seconds for one TCP stream to write, read and compare the same bytes.
async fn raw(sent: &Arc<Vec<Bytes>>, trajectories: usize) -> f64 {
    let sent = Arc::clone(sent);
    let timing = move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut reader, _) = listener.accept().unwrap();
        writer.set_nodelay(true).unwrap();
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for state in (0..trajectories).flat_map(|_| sent.iter()) {
                    writer.write_all(state).unwrap();
                }
            });
            let mut received = vec![0; sent[0].len()];
            for state in (0..trajectories).flat_map(|_| sent.iter()) {
                reader.read_exact(&mut received).unwrap();
                assert!(received == *state);
            }
        });
        began.elapsed().as_secs_f64()
    };
    tokio::task::spawn_blocking(timing).await.unwrap()
}

/// The receiver: compares, counts and accepts trajectories.
struct Sink {
    sent: Arc<Vec<Bytes>>,
    received: AtomicU64,
}

impl IntakeHandler for Sink {
    fn complete(
        &self,
        trajectory: IncomingTrajectory,
        receipt: ReceiptSender,
    ) -> impl Future<Output = ()> + Send {
        assert!(trajectory.states == *self.sent, "{}", receipt.trajectory_id());
        self.received.fetch_add(1, Ordering::Relaxed);
        receipt.answer(Verdict::Accepted, "");
        std::future::ready(())
    }
}

/// A path of trajectories, from an uplink to a sink.
struct Way {
    uplink: Uplink,
    sink: Arc<Sink>,
}

impl Way {
    /// Makes the direct path to the sink.
    fn hop(sent: &Arc<Vec<Bytes>>) -> Self {
        let sink = Arc::new(Sink { sent: Arc::clone(sent), received: AtomicU64::new(0) });
        let address = serve(Intake::new(Arc::clone(&sink), intake()), Destination::Rewarder);
        Self { uplink: uplink(Destination::Rewarder, address), sink }
    }

    /// Makes the path through the rewarder's relay.
    fn whole(sent: &Arc<Vec<Bytes>>) -> Self {
        let sink = Arc::new(Sink { sent: Arc::clone(sent), received: AtomicU64::new(0) });
        let learner = serve(Intake::new(Arc::clone(&sink), intake()), Destination::Learner);
        let batcher = BatcherConfig { max_wait: Duration::from_millis(1), ..Default::default() };
        let model = Rewards::alone(Box::new(MeanLevel));
        let scoring = Scoring {
            trajectories: TrajectoryFacts { run_id: RUN.to_owned(), form: None },
            reward: RewardSpec::plain(Task::JpegCompressibility.into()).id(),
            pixel_maps: vec![PixelMap::Signed],
            batcher: Batcher::start(model, batcher, Metrics::new().unwrap()).unwrap().0,
        };
        let (_, current) = watch::channel(Some(Arc::new(scoring)));
        let board = Board::new(BoardLimits::default());
        let relay = Relay::new(current, uplink(Destination::Learner, learner), board);
        let relay = Intake::new(Arc::new(RelayHandler(Arc::new(relay))), intake());
        let rewarder = serve(relay, Destination::Rewarder);
        Self { uplink: uplink(Destination::Rewarder, rewarder), sink }
    }

    /// Measures the seconds until the sink has all trajectories and the sender all receipts.
    async fn time(&self, sent: &[Bytes], trajectories: usize) -> f64 {
        let before = self.sink.received.load(Ordering::Relaxed);
        let began = Instant::now();
        let mut receipts = VecDeque::new();
        for sample in 0..trajectories {
            if receipts.len() == CREDITS as usize {
                accepted(receipts.pop_front()).await;
            }
            let opening = opening(sample as u32);
            let log_probs = vec![-1.0; opening.header.random_steps.len()];
            let (mut outgoing, receipt) = self.uplink.open(opening).unwrap();
            for state in sent {
                outgoing.append_state(state.clone()).unwrap();
            }
            outgoing.finish(log_probs, None).unwrap();
            receipts.push_back(receipt);
        }
        for receipt in receipts {
            accepted(Some(receipt)).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        let received = self.sink.received.load(Ordering::Relaxed) - before;
        assert_eq!(received, trajectories as u64);
        seconds
    }
}

async fn accepted(receipt: Option<ddpo_delivery::uplink::PendingReceipt>) {
    assert_eq!(receipt.unwrap().await.unwrap().verdict, Verdict::Accepted);
}

fn intake() -> IntakeSettings {
    IntakeSettings { credits_per_stream: CREDITS, ..IntakeSettings::default() }
}

fn uplink(destination: Destination, address: String) -> Uplink {
    Uplink::start(UplinkSettings::new(destination, vec![address]), &Handle::current()).unwrap()
}

fn serve<H: IntakeHandler>(intake: Intake<H>, destination: Destination) -> String {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let incoming = incoming.with_nodelay(Some(true));
    let address = incoming.local_addr().unwrap();
    let mut builder = server(KeepAlive::default());
    let router = match destination {
        Destination::Rewarder => builder.add_service(intake.rewarder_service()),
        Destination::Learner => builder.add_service(intake.learner_service()),
    };
    tokio::spawn(router.serve_with_incoming(incoming));
    format!("http://{address}")
}

fn opening(sample: u32) -> Opening {
    Opening {
        identity: TrajectoryIdentity {
            trajectory_id: format!("hops/{sample}"),
            run_id: RUN.to_owned(),
            order_id: "order".to_owned(),
            attempt: 1,
            worker_id: "worker".to_owned(),
            incarnation: 1,
            track: Track::Policy,
            traceparent: None,
        },
        header: TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: 1, epoch: 0, sample },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion(1),
            weights_digest: Digest::of(b"weights"),
            scheduler_digest: Digest::of(b"scheduler"),
            dtype: StateDtype::F32,
            shape: SHAPE,
            timesteps: (0..STEPS as i64).rev().collect(),
            random_steps: (0..STEPS - 1).collect(),
            kept_states: TrajectoryHeader::all_states(STEPS),
        },
    }
}

/// Gigabytes a second, and ratios to plain TCP in the same round.
#[derive(Default)]
struct Rows {
    raw: Vec<f64>,
    hop: Vec<f64>,
    way: Vec<f64>,
    hop_to_raw: Vec<f64>,
    way_to_raw: Vec<f64>,
}

impl Rows {
    fn push(&mut self, bytes: usize, raw: f64, hop: f64, way: f64) {
        let gigabytes = bytes as f64 / 1e9;
        self.raw.push(gigabytes / raw);
        self.hop.push(gigabytes / hop);
        self.way.push(gigabytes / way);
        self.hop_to_raw.push(raw / hop);
        self.way_to_raw.push(raw / way);
    }

    fn json(
        &self,
        sent: &[Bytes],
        trajectories: usize,
        peaks: serde_json::Map<String, serde_json::Value>,
    ) -> String {
        let spread = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            let at = |index: usize| (values[index] * 1e4).round() / 1e4;
            let rounds = values.len();
            serde_json::json!({"min": at(0), "median": at(rounds / 2), "max": at(rounds - 1)})
        };
        let line = serde_json::json!({
            "trajectory_bytes": sent.iter().map(Bytes::len).sum::<usize>(),
            "trajectories": trajectories,
            "rounds": self.raw.len(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "credits": CREDITS,
            "raw_gb_per_s": spread(&self.raw),
            "hop_gb_per_s": spread(&self.hop),
            "way_gb_per_s": spread(&self.way),
            "hop_to_raw": spread(&self.hop_to_raw),
            "way_to_raw": spread(&self.way_to_raw),
            "peak_rss_mb_by_trajectories": peaks,
        });
        line.to_string()
    }
}

/// Resets the kernel's peak of resident memory.
fn forget_peak() {
    // If this fails, the peak counts from the start of the process, which is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the peak in the unit of earlier results, a thousand kibibytes.
fn peak_rss_mb() -> Option<u64> {
    Some(ddpo_service::memory::peak_bytes()? / 1024 / 1000)
}
