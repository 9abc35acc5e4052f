//! Tests of retention: old weights are deleted when no live worker needs them.

use crate::stage::{Stage, average, policy, small};
use ddpo_broadcast::source::{Exposure, PublishRequest};
use ddpo_rollout::trajectory::PolicyVersion;
use ddpo_test_tools::needs;

async fn present(stage: &Stage) -> Vec<u64> {
    let mut found = Vec::new();
    for version in 0..10 {
        if stage.store.is_present(policy(version)).await.unwrap() {
            found.push(version);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_stay_without_workers() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    for version in 0..5 {
        stage.store.publish(&lease, &small(version)).await.unwrap();
    }
    assert_eq!(present(&stage).await, [3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_keeps_its_version_until_it_leaves() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    for version in 0..3 {
        stage.store.publish(&lease, &small(version)).await.unwrap();
        if version == 1 {
            stage.store.report_worker("slow", PolicyVersion(1)).await.unwrap();
            stage.store.report_worker("quick", PolicyVersion(9)).await.unwrap();
        }
    }
    stage.store.publish(&lease, &small(3)).await.unwrap();
    assert_eq!(present(&stage).await, [1, 2, 3]);
    stage.store.forget_worker("slow").await.unwrap();
    stage.store.publish(&lease, &small(4)).await.unwrap();
    assert_eq!(present(&stage).await, [3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_named_by_an_order_are_kept() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let aside = PublishRequest { id: average(0), exposure: Exposure::Aside, ..small(0) };
    stage.store.publish(&lease, &small(0)).await.unwrap();
    stage.store.publish(&lease, &aside).await.unwrap();
    for version in 1..5 {
        let keep = vec![average(0), policy(1)];
        stage.store.publish(&lease, &PublishRequest { keep, ..small(version) }).await.unwrap();
    }
    assert_eq!(present(&stage).await, [1, 3, 4]);
    let kept = stage.store.manifest(average(0)).await.unwrap().unwrap();
    stage.store.fetch(&kept).await.unwrap();
    stage.store.publish(&lease, &small(5)).await.unwrap();
    assert_eq!(present(&stage).await, [4, 5]);
    assert!(!stage.store.is_present(average(0)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_worker_reports() {
    needs!("redis-server");
    let stage = Stage::start().await;
    stage.store.report_worker("b", PolicyVersion(2)).await.unwrap();
    stage.store.report_worker("a", PolicyVersion(1)).await.unwrap();
    stage.store.report_worker("a", PolicyVersion(3)).await.unwrap();
    let reports = stage.store.workers().await.unwrap();
    let listed: Vec<_> = reports.iter().map(|r| (r.worker.as_str(), r.version.0)).collect();
    assert_eq!(listed, [("a", 3), ("b", 2)]);
    assert!(reports.iter().all(|report| report.silent_for.as_secs() < 10));
}
