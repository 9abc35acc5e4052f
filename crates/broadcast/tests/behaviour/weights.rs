//! Tests of weights: they are fetched exactly as published, or not at all.

use crate::stage::{
    PATIENCE, RUN, Stage, average, connect, is_lost, policy, publication, request, small, tensors,
};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::manifest::{Manifest, TensorShape, WireDtype};
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest, SourceError, TensorSource};
use ddpo_rollout::trajectory::{Digest, StateDtype, decode};
use ddpo_test_tools::needs;
use std::sync::Arc;

fn wide(tensor: &HostTensor) -> Vec<f32> {
    decode(&tensor.values, StateDtype::F32)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_weights_are_bit_identical_after_fetch() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let request = publication(policy(1), Exposure::Current);
    let manifest = stage.store.publish(&lease, &request).await.unwrap();
    assert_eq!(manifest.weights_digest, request.weights_digest);
    assert_eq!((manifest.chunks.len(), manifest.fence), (3, lease.token));
    assert_eq!(stage.store.manifest(policy(1)).await.unwrap().as_ref(), Some(&manifest));
    assert_eq!(stage.current().await.unwrap().id, "v1");

    let weights = stage.store.fetch(&manifest).await.unwrap();
    for (index, tensor) in tensors(1).iter().enumerate() {
        assert_eq!(weights.manifest().tensors[index], tensor.tensor);
        assert!(weights.bytes(index).unwrap() == tensor.values, "{}", tensor.tensor.name);
        assert!(weights.values(index).unwrap() == wide(tensor));
    }
    assert!(weights.bytes(4).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_precision_weights_are_rounded_once() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    for (version, dtype) in [(1, WireDtype::Bf16), (2, WireDtype::F16)] {
        let request = PublishRequest { dtype, ..publication(policy(version), Exposure::Current) };
        let manifest = stage.store.publish(&lease, &request).await.unwrap();
        assert_eq!((manifest.dtype, manifest.chunks.len()), (dtype, 2));
        let weights = stage.store.fetch(&manifest).await.unwrap();
        for (index, tensor) in tensors(version).iter().enumerate() {
            let rounded: Vec<f32> = match dtype {
                WireDtype::Bf16 => {
                    wide(tensor).iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect()
                }
                _ => wide(tensor).iter().map(|&x| half::f16::from_f32(x).to_f32()).collect(),
            };
            assert!(weights.values(index).unwrap() == rounded, "{dtype} {index}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn average_weights_do_not_become_current() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.publish(&lease, &publication(policy(3), Exposure::Current)).await.unwrap();
    stage.store.publish(&lease, &publication(average(3), Exposure::Aside)).await.unwrap();
    assert_eq!(stage.current().await.unwrap().id, "v3");
    let manifest = stage.store.manifest(average(3)).await.unwrap().unwrap();
    assert_eq!(stage.store.fetch(&manifest).await.unwrap().manifest().id, average(3));
    assert!(stage.store.is_present(average(3)).await.unwrap());
    assert!(!stage.store.is_present(average(4)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_weights_are_sent_once() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let first = stage.lease("a").await;
    let once = stage.store.publish(&first, &small(3)).await.unwrap();
    let twice = stage.store.publish(&first, &small(3)).await.unwrap();
    assert_eq!(once, twice);
    // The same holds after another learner took over: it confirms the stored weights.
    let second = stage.lease("a").await;
    assert_eq!(stage.store.publish(&second, &small(3)).await.unwrap(), once);
    stage.store.fetch(&once).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_weights_with_the_same_id_replace_the_previous() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let former = stage.store.publish(&lease, &small(3)).await.unwrap();
    let other = PublishRequest { weights_digest: Digest([9; 32]), ..small(3) };
    let latter = stage.store.publish(&lease, &other).await.unwrap();
    assert_eq!(stage.store.manifest(policy(3)).await.unwrap(), Some(latter.clone()));
    assert_eq!(stage.current().await.unwrap().upload, latter.upload);
    stage.store.fetch(&latter).await.unwrap();
    let gone = stage.store.fetch(&former).await.unwrap_err();
    assert!(matches!(gone, BroadcastError::Gone { .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learner_cannot_publish_an_older_version() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.publish(&lease, &small(5)).await.unwrap();
    let error = stage.store.publish(&lease, &small(4)).await.unwrap_err();
    assert_eq!(error, BroadcastError::NotNewer { current: policy(5), offered: policy(4) });
    assert_eq!(stage.store.manifest(policy(4)).await.unwrap(), None);
    let aside = PublishRequest { exposure: Exposure::Aside, ..small(4) };
    stage.store.publish(&lease, &aside).await.unwrap();
    assert_eq!(stage.current().await.unwrap().id, "v5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_learner_can_publish_an_older_version() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let crashed = stage.lease("a").await;
    for version in [2, 3, 4] {
        stage.store.publish(&crashed, &small(version)).await.unwrap();
    }
    let resumed = stage.lease("a").await;
    stage.store.publish(&resumed, &small(2)).await.unwrap();
    assert_eq!(stage.current().await.unwrap().id, "v2");
    // Newer weights of the crashed learner are deleted, so they cannot be confused with new ones.
    assert_eq!(stage.store.manifest(policy(4)).await.unwrap(), None);
    stage.store.publish(&resumed, &small(3)).await.unwrap();
}

/// A source that runs a callback before its last tensor.
struct Eventful<F> {
    tensors: Vec<HostTensor>,
    before_last: F,
}

impl<F: Fn() -> Result<(), SourceError> + Send + Sync> TensorSource for Eventful<F> {
    fn tensors(&self) -> Vec<TensorShape> {
        self.tensors.tensors()
    }

    fn values(&self, index: usize) -> Result<bytes::Bytes, SourceError> {
        if index + 1 == self.tensors.len() {
            (self.before_last)()?;
        }
        self.tensors.values(index)
    }
}

/// The purpose of fencing: the learner is deposed after the first check of its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learner_deposed_during_upload_publishes_nothing() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let old = stage.lease("a").await;
    let store = stage.store.clone();
    let before_last = move || {
        let asked = request("a", PATIENCE);
        tokio::runtime::Handle::current().block_on(store.acquire(&asked)).unwrap();
        Ok(())
    };
    let request = PublishRequest {
        tensors: Arc::new(Eventful { tensors: tensors(1), before_last }),
        ..publication(policy(1), Exposure::Current)
    };
    assert!(is_lost(stage.store.publish(&old, &request).await));
    assert_eq!(stage.store.manifest(policy(1)).await.unwrap(), None);
    assert_eq!(stage.current().await, None);
    assert_eq!(stage.chunks_left().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_tensors_are_rejected_and_leave_no_chunks() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let before_last =
        || Err(SourceError::Unreadable { name: "x".into(), reason: "device lost".into() });
    let request = PublishRequest {
        tensors: Arc::new(Eventful { tensors: tensors(1), before_last }),
        ..publication(policy(1), Exposure::Current)
    };
    let error = stage.store.publish(&lease, &request).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Source { .. }), "{error}");
    assert_eq!(stage.store.manifest(policy(1)).await.unwrap(), None);
    assert_eq!(stage.current().await, None);
    assert_eq!(stage.chunks_left().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_weights_can_be_published_again() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let manifest = stage.store.publish(&lease, &small(1)).await.unwrap();
    assert!(stage.store.is_present(policy(1)).await.unwrap());
    stage.wipe().await;
    assert!(!stage.store.is_present(policy(1)).await.unwrap());
    assert_eq!(stage.current().await, None);
    let gone = stage.store.fetch(&manifest).await.unwrap_err();
    assert!(matches!(gone, BroadcastError::Gone { .. }), "{gone}");

    let lease = stage.lease("a").await;
    let again = stage.store.publish(&lease, &small(1)).await.unwrap();
    assert_ne!(again.upload, manifest.upload);
    stage.store.fetch(&again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_a_forged_manifest() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let manifest = stage.store.publish(&lease, &small(1)).await.unwrap();
    let mut forged = manifest.clone();
    forged.chunks[0] = Digest([0; 32]);
    let error = stage.store.fetch(&forged).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Manifest { .. }), "{error}");
    forged.payload_digest = Manifest::digest_of_chunks(&forged.chunks);
    let error = stage.store.fetch(&forged).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Corrupt { .. }), "{error}");
    let mut forged = manifest;
    forged.tensors[0].shape = vec![usize::MAX, 2];
    let error = stage.store.fetch(&forged).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Manifest { .. }), "{error}");
}

/// A chunk in Redis can change after publication.
#[tokio::test]
async fn detects_corrupt_and_missing_chunks() {
    needs!("redis-server");
    let server = crate::redis_server::RedisServer::start();
    let store = connect(&server, RUN).await;
    let lease = crate::stage::lease(&store, "a", crate::stage::PATIENCE).await;
    let manifest = store.publish(&lease, &publication(policy(1), Exposure::Current)).await.unwrap();
    let mut connection = server.connection().await;
    let key = format!("ddpo:{{{RUN}}}:chunk:{}:1", manifest.upload);

    let set = redis::cmd("SETRANGE").arg(&key).arg(1000).arg("x").clone();
    set.exec_async(&mut connection).await.unwrap();
    let error = store.fetch(&manifest).await.unwrap_err();
    assert!(error.to_string().contains("chunk 1"), "{error}");
    assert!(matches!(error, BroadcastError::Corrupt { .. }), "{error}");

    let short = redis::cmd("SET").arg(&key).arg("x").clone();
    short.exec_async(&mut connection).await.unwrap();
    let error = store.fetch(&manifest).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Corrupt { .. }), "{error}");

    redis::cmd("DEL").arg(&key).exec_async(&mut connection).await.unwrap();
    let error = store.fetch(&manifest).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Gone { .. }), "{error}");
    assert!(!store.is_present(policy(1)).await.unwrap());

    // Publishing again sends the chunks, because not all are stored.
    let again = store.publish(&lease, &publication(policy(1), Exposure::Current)).await.unwrap();
    store.fetch(&again).await.unwrap();
}
