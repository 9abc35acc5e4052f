//! Measures the time from weights in the learner's memory to checked weights at every sampler, next
//! to plain SET and GET of the same bytes, and the longest delay for other clients of Redis.
//!
//! `cargo run --release -p ddpo-broadcast --example throughput -- [MB] [SAMPLERS] [ROUNDS] [URL]`
//!
//! Without a URL it starts a `redis-server`. Prints one line of JSON.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench stops at the first failure")]

#[allow(dead_code, clippy::expect_used, missing_docs, reason = "shared with the tests")]
#[path = "../tests/behaviour/redis_server.rs"]
mod redis_server;

use ddpo_broadcast::lease::{FenceToken, Lease, LeaseRequest};
use ddpo_broadcast::manifest::{CHUNK_BYTES, WireDtype};
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use redis::AsyncTypedCommands;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Values per tensor: about the mean of the celebahq-256 UNet.
const TENSOR: usize = 250_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: usize| {
        arguments.get(index).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (megabytes, samplers, rounds) = (number(0, 455), number(1, 4), number(2, 5));
    let server = arguments.get(3).is_none().then(redis_server::RedisServer::start);
    let url = arguments.get(3).cloned().or(server.as_ref().map(|server| server.url())).unwrap();

    let tensors = Arc::new(random_tensors(megabytes * 1_000_000));
    let bytes: usize = tensors.iter().map(|tensor| tensor.values.len()).sum();
    let config = RedisConfig::new(&url, "throughput");
    let learner = RedisBroadcast::connect(&config).await.unwrap();
    let request = LeaseRequest {
        owner: "throughput".to_owned(),
        ttl: Duration::from_secs(600),
        last_known: FenceToken(0),
    };
    let lease = learner.acquire(&request).await.unwrap();
    let mut stores = Vec::new();
    for _ in 0..samplers {
        stores.push(Arc::new(RedisBroadcast::connect(&config).await.unwrap()));
    }

    let mut rows = Rows::default();
    // The first round warms up.
    for round in 0..=rounds as u64 {
        let plain = plain(&url, &tensors, samplers).await;
        let began = Instant::now();
        let pings = Pings::start(&url);
        let published = publish(&learner, &lease, &tensors, round).await;
        let publishing = pings.stop();
        let pings = Pings::start(&url);
        let fetched = fetch_all(&stores, round, began).await;
        let fetching = pings.stop();
        if round > 0 {
            rows.push(&plain, published, fetched, [publishing, fetching]);
        }
    }
    println!("{}", rows.json(bytes, samplers));
}

/// Returns random finite numbers, which caches and compression cannot speed up.
fn random_tensors(bytes: usize) -> Vec<HostTensor> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f32::from_bits((state >> 32) as u32 & 0x3fff_ffff)
    };
    let mut left = bytes / 4;
    let mut tensors = Vec::new();
    while left > 0 {
        let count = left.min(TENSOR);
        let values: Vec<f32> = (0..count).map(|_| next()).collect();
        tensors.push(HostTensor::new(format!("tensor.{}", tensors.len()), &[count], &values));
        left -= count;
    }
    tensors
}

/// Plain SET of all bytes, and plain GET of all bytes by all samplers in parallel: seconds, and the
/// slowest PING meanwhile in milliseconds.
struct Plain {
    set: f64,
    get: f64,
    worst_pings: [f64; 2],
}

async fn plain(url: &str, tensors: &Arc<Vec<HostTensor>>, samplers: usize) -> Plain {
    let payload: Vec<u8> = tensors.iter().flat_map(|t| t.values.iter().copied()).collect();
    let client = redis::Client::open(url).unwrap();
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_response_timeout(Some(Duration::from_secs(10)));
    let connect = || redis::aio::ConnectionManager::new_with_config(client.clone(), config.clone());
    let mut connection = connect().await.unwrap();
    let pings = Pings::start(url);
    let began = Instant::now();
    for (index, chunk) in payload.chunks(CHUNK_BYTES).enumerate() {
        connection.set(format!("plain:{index}"), chunk).await.unwrap();
    }
    let set = began.elapsed().as_secs_f64();
    let setting = pings.stop();
    let count = payload.len().div_ceil(CHUNK_BYTES);
    drop(payload);
    let mut connections = Vec::new();
    for _ in 0..samplers {
        connections.push(connect().await.unwrap());
    }
    let pings = Pings::start(url);
    let began = Instant::now();
    let readers: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            tokio::spawn(async move {
                let mut chunks = Vec::with_capacity(count);
                for index in 0..count {
                    let get = redis::cmd("GET").arg(format!("plain:{index}")).clone();
                    let chunk: bytes::Bytes = get.query_async(&mut connection).await.unwrap();
                    chunks.push(chunk);
                }
                chunks
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().len(), count);
    }
    let get = began.elapsed().as_secs_f64();
    let getting = pings.stop();
    for index in 0..count {
        redis::cmd("UNLINK")
            .arg(format!("plain:{index}"))
            .exec_async(&mut connection)
            .await
            .unwrap();
    }
    Plain { set, get, worst_pings: [setting, getting] }
}

fn weights_id(version: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(version), track: Track::Policy }
}

async fn publish(
    learner: &RedisBroadcast,
    lease: &Lease,
    tensors: &Arc<Vec<HostTensor>>,
    version: u64,
) -> f64 {
    let request = PublishRequest {
        id: weights_id(version),
        weights_digest: Digest::of(&version.to_le_bytes()),
        tensors: tensors.clone(),
        dtype: WireDtype::F32,
        exposure: Exposure::Current,
        keep: Vec::new(),
    };
    let began = Instant::now();
    learner.publish(lease, &request).await.unwrap();
    began.elapsed().as_secs_f64()
}

/// Returns the seconds from `began` until the last sampler has fetched and checked this version.
async fn fetch_all(stores: &[Arc<RedisBroadcast>], version: u64, began: Instant) -> f64 {
    let mut fetching = Vec::new();
    for store in stores {
        let store = Arc::clone(store);
        fetching.push(tokio::spawn(async move {
            let manifest = store.manifest(weights_id(version)).await.unwrap().unwrap();
            store.fetch(&manifest).await.unwrap()
        }));
    }
    let mut kept = Vec::new();
    for fetch in fetching {
        kept.push(fetch.await.unwrap());
    }
    began.elapsed().as_secs_f64()
}

/// Sends PINGs on a separate thread and connection, like another user of the same Redis.
struct Pings {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Pings {
    fn start(url: &str) -> Self {
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                redis::cmd("PING").exec(&mut connection).unwrap();
                worst = worst.max(began.elapsed());
                std::thread::sleep(Duration::from_micros(500));
            }
            worst
        });
        Self { stop, thread }
    }

    fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().as_secs_f64() * 1e3
    }
}

#[derive(Default)]
struct Rows {
    plain_set: Vec<f64>,
    plain_get: Vec<f64>,
    publish: Vec<f64>,
    to_last_follower: Vec<f64>,
    ratio: Vec<f64>,
    plain_set_ping_ms: Vec<f64>,
    plain_get_ping_ms: Vec<f64>,
    publish_ping_ms: Vec<f64>,
    fetch_ping_ms: Vec<f64>,
}

impl Rows {
    fn push(&mut self, plain: &Plain, publish: f64, to_last_follower: f64, pings: [f64; 2]) {
        self.plain_set.push(plain.set);
        self.plain_get.push(plain.get);
        self.publish.push(publish);
        self.to_last_follower.push(to_last_follower);
        self.ratio.push(to_last_follower / (plain.set + plain.get));
        self.plain_set_ping_ms.push(plain.worst_pings[0]);
        self.plain_get_ping_ms.push(plain.worst_pings[1]);
        self.publish_ping_ms.push(pings[0]);
        self.fetch_ping_ms.push(pings[1]);
    }

    fn json(mut self, bytes: usize, samplers: usize) -> String {
        let rounds = self.ratio.len();
        let spread = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            let at = |index: usize| (values[index] * 1e4).round() / 1e4;
            serde_json::json!({"min": at(0), "median": at(rounds / 2), "max": at(rounds - 1)})
        };
        let line = serde_json::json!({
            "bytes": bytes,
            "followers": samplers,
            "rounds": rounds,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "plain_set_s": spread(&mut self.plain_set),
            "plain_get_by_all_s": spread(&mut self.plain_get),
            "publish_s": spread(&mut self.publish),
            "publish_to_last_checked_s": spread(&mut self.to_last_follower),
            "ratio_to_plain": spread(&mut self.ratio),
            "worst_ping_ms": {
                "plain_set": spread(&mut self.plain_set_ping_ms),
                "plain_get": spread(&mut self.plain_get_ping_ms),
                "publish": spread(&mut self.publish_ping_ms),
                "fetch": spread(&mut self.fetch_ping_ms),
            },
            "peak_rss_mb": peak_rss_mb(),
        });
        line.to_string()
    }
}

fn peak_rss_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1000)
}
