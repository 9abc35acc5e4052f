//! A store on a real Redis, with test data.

use crate::redis_server::RedisServer;
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{FenceToken, Lease, LeaseRequest};
use ddpo_broadcast::manifest::WireDtype;
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
/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A store and its server.
pub struct Stage {
    pub store: Arc<RedisBroadcast>,
    server: RedisServer,
}

impl Stage {
    pub async fn start() -> Self {
        let server = RedisServer::start();
        Self { store: Arc::new(connect(&server, RUN).await), server }
    }

    /// Runs FLUSHALL.
    pub async fn wipe(&self) {
        let mut connection = self.server.connection().await;
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    }

    /// Adds an entry to the orders, as another client of Redis could.
    pub async fn plant(&self, fields: &[(&str, &str)]) {
        let key = format!("ddpo:{{{RUN}}}:orders");
        let add = redis::Cmd::xadd(key, "*", fields);
        add.exec_async(&mut self.server.connection().await).await.unwrap();
    }

    /// Returns the number of chunks in Redis, with or without a manifest.
    pub async fn chunks_left(&self) -> usize {
        let mut keys = redis::cmd("KEYS");
        keys.arg("*:chunk:*");
        let found: Vec<String> =
            keys.query_async(&mut self.server.connection().await).await.unwrap();
        found.len()
    }

    pub async fn lease(&self, owner: &str) -> Lease {
        lease(&self.store, owner, Duration::from_secs(60)).await
    }

    /// Returns the current weights in Redis.
    pub async fn current(&self) -> Option<Current> {
        current(&self.server, RUN).await
    }
}

/// The pointer to the current weights.
#[derive(Debug, PartialEq)]
pub struct Current {
    pub id: String,
    pub upload: String,
}

pub async fn current(server: &RedisServer, run: &str) -> Option<Current> {
    let read = redis::Cmd::hmget(format!("ddpo:{{{run}}}:current"), &["id", "upload"]);
    let found: (Option<String>, Option<String>) =
        read.query_async(&mut server.connection().await).await.unwrap();
    Some(Current { id: found.0?, upload: found.1? })
}

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

pub async fn lease(store: &RedisBroadcast, owner: &str, ttl: Duration) -> Lease {
    store.acquire(&request(owner, ttl)).await.unwrap()
}

/// Retries until the lease is acquired.
pub async fn await_lease(store: &RedisBroadcast, request: &LeaseRequest) -> Lease {
    let deadline = soon();
    loop {
        match store.acquire(request).await {
            Ok(lease) => return lease,
            Err(error) => {
                let may_pass =
                    error.is_transient() || matches!(error, BroadcastError::LeaseHeld { .. });
                assert!(may_pass && Instant::now() < deadline, "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until exactly these orders are pending.
pub async fn await_orders(store: &RedisBroadcast, expected: &[&str]) {
    let deadline = soon();
    loop {
        let found = pending(store).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "expected the orders {expected:?}, found {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn pending(store: &RedisBroadcast) -> Vec<String> {
    store.pending().await.unwrap().into_iter().map(|order| order.order_id).collect()
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
        numerics: Default::default(),
        norm_kernel: Default::default(),
        state_dtype: StateDtype::F16,
        window: None,
        needed_states: Default::default(),
        class_labels: None,
        task: "brightness".to_owned(),
    }
}

pub fn policy(version: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(version), track: Track::Policy }
}

pub fn average(version: u64) -> WeightsId {
    WeightsId { version: PolicyVersion(version), track: Track::Average }
}

/// Returns weights of slightly more than two chunks, determined by `seed`.
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

/// Returns small weights for tests that do not depend on their values.
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
