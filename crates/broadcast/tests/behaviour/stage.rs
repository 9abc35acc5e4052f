//! Both stores, set up alike, and what the tests put into them.

use crate::redis_server::RedisServer;
use ddpo_broadcast::Broadcast;
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{FenceToken, Lease, LeaseRequest, Leases};
use ddpo_broadcast::local::{LocalBroadcast, LocalConfig};
use ddpo_broadcast::manifest::WireDtype;
use ddpo_broadcast::orders::OrderQueue;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::{RunSpec, Track, WeightsId, WorkOrder};
use ddpo_rollout::trajectory::{Digest, PolicyVersion, StateDtype};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub const RUN: &str = "run-1";
/// After this a worker counts as silent.
pub const CLAIM_AFTER: Duration = Duration::from_millis(600);
/// No condition is awaited longer than this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One store, and how to empty it.
pub struct Stage {
    pub store: Arc<dyn Broadcast>,
    local: Option<Arc<LocalBroadcast>>,
    server: Option<RedisServer>,
}

impl Stage {
    pub fn local() -> Self {
        let config = LocalConfig { claim_after: CLAIM_AFTER, ..LocalConfig::new(RUN) };
        let local = Arc::new(LocalBroadcast::new(config).unwrap());
        Self { store: local.clone(), local: Some(local), server: None }
    }

    pub async fn redis() -> Self {
        let server = RedisServer::start();
        let store: Arc<dyn Broadcast> = Arc::new(connect(&server, RUN).await);
        Self { store, local: None, server: Some(server) }
    }

    /// FLUSHALL.
    pub async fn wipe(&self) {
        if let Some(local) = &self.local {
            local.wipe();
        }
        if let Some(server) = &self.server {
            let mut connection = server.connection().await;
            redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
        }
    }

    /// Chunks in Redis, of manifests or without one.
    pub async fn chunks_left(&self) -> usize {
        let Some(server) = &self.server else { return 0 };
        let mut keys = redis::cmd("KEYS");
        keys.arg("*:chunk:*");
        let found: Vec<String> = keys.query_async(&mut server.connection().await).await.unwrap();
        found.len()
    }

    pub async fn lease(&self, owner: &str) -> Lease {
        lease(self.store.as_ref(), owner, Duration::from_secs(60)).await
    }
}

/// Each test, once with each store.
macro_rules! with_both {
    ($($name:ident),* $(,)?) => {
        mod locally {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::stage::Stage::local()).await;
            })*
        }
        mod in_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::stage::Stage::redis().await).await;
            })*
        }
    };
}
pub(crate) use with_both;

pub fn config(server: &RedisServer, run: &str) -> RedisConfig {
    RedisConfig { claim_after: CLAIM_AFTER, ..RedisConfig::new(server.url(), run) }
}

pub async fn connect(server: &RedisServer, run: &str) -> RedisBroadcast {
    RedisBroadcast::connect(&config(server, run)).await.unwrap()
}

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub fn request(owner: &str, ttl: Duration) -> LeaseRequest {
    LeaseRequest { owner: owner.to_owned(), ttl, last_known: FenceToken(0) }
}

pub async fn lease<L: Leases + ?Sized>(leases: &L, owner: &str, ttl: Duration) -> Lease {
    leases.acquire(&request(owner, ttl)).await.unwrap()
}

/// Awaits until the orders can be seen to be these.
pub async fn await_orders<Q: OrderQueue + ?Sized>(queue: &Q, expected: &[&str]) {
    let deadline = soon();
    loop {
        let found = pending(queue).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "expected the orders {expected:?}, found {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn pending<Q: OrderQueue + ?Sized>(queue: &Q) -> Vec<String> {
    queue.pending().await.unwrap().into_iter().map(|order| order.order_id).collect()
}

pub fn order(lease: &Lease, name: &str) -> WorkOrder {
    WorkOrder {
        run_id: RUN.to_owned(),
        order_id: name.to_owned(),
        fence: lease.token.0,
        purpose: Purpose::Rollout,
        run_seed: 42,
        epoch: 3,
        samples: vec![0, 1, 2, 3],
        weights: policy(7),
        weights_digest: Digest([7; 32]),
        traceparent: None,
    }
}

pub fn spec(run: &str) -> RunSpec {
    RunSpec {
        run_id: run.to_owned(),
        unet_config: "{}".to_owned(),
        scheduler_config: "{}".to_owned(),
        scheduler: "ddim".to_owned(),
        num_inference_steps: 20,
        eta: 1.0,
        scheduler_digest: Digest([1; 32]),
        dtype: "f32".to_owned(),
        state_dtype: StateDtype::F16,
        task: "brightness".to_owned(),
    }
}

pub fn policy(version: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(version), track: Track::Policy }
}

pub fn average(version: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(version), track: Track::Average }
}

/// Weights of two chunks and a bit; which ones follows from `seed`.
pub fn tensors(seed: u64) -> Vec<HostTensor> {
    let values = |count: u64, salt: u64| -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + salt * 104_729 + seed) % 10_007) as f32 * 1e-3).collect()
    };
    vec![
        HostTensor::new("conv_in.weight", &[3, 400_000], &values(1_200_000, 1)),
        HostTensor::new("conv_in.bias", &[11], &values(11, 2)),
        HostTensor::new("scale", &[], &values(1, 3)),
        HostTensor::new("conv_out.weight", &[1000, 1001], &values(1_001_000, 4)),
    ]
}

pub fn publication(id: WeightsId, exposure: Exposure) -> PublishRequest {
    request_for(id, exposure, tensors(id.version.0))
}

/// Small ones, where it does not matter what they are.
pub fn small(version: u64) -> PublishRequest {
    let tensors = vec![HostTensor::new("x", &[2], &[version as f32, 0.5])];
    request_for(policy(version), Exposure::Current, tensors)
}

fn request_for(id: WeightsId, exposure: Exposure, tensors: Vec<HostTensor>) -> PublishRequest {
    PublishRequest {
        id,
        weights_digest: Digest::of(id.to_string().as_bytes()),
        tensors: Arc::new(tensors),
        dtype: WireDtype::F32,
        exposure,
        keep: Vec::new(),
    }
}

pub fn is_lost<T: std::fmt::Debug>(result: Result<T, BroadcastError>) -> bool {
    matches!(result, Err(BroadcastError::LostLease { .. }))
}
