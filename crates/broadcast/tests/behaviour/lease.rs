//! Tests of the lease: one learner holds it at a time, and a deposed learner cannot write.

use crate::stage::{
    PATIENCE, RUN, Stage, await_lease, is_lost, lease, order, pending, request, small, soon, spec,
};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{FenceToken, LeaseRequest};
use ddpo_test_tools::needs;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_owner_acquires_the_lease_only_after_it_lapses() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let first = lease(&stage.store, "a", Duration::from_millis(1500)).await;
    let refused = stage.store.acquire(&request("b", PATIENCE)).await;
    let Err(BroadcastError::LeaseHeld { holder, remaining }) = refused else {
        panic!("expected a held lease, found {refused:?}")
    };
    assert_eq!((holder.owner.as_str(), holder.token), ("a", first.token));
    assert!(remaining <= Duration::from_millis(1500), "{remaining:?}");
    let second = await_lease(&stage.store, &request("b", PATIENCE)).await;
    assert!(second.token > first.token);
    let error = stage.store.renew(&first).await.unwrap_err();
    let BroadcastError::LostLease { token, found } = error else { panic!("{error}") };
    assert_eq!(token, first.token);
    assert_eq!(found.unwrap().owner, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renew_keeps_the_lease_and_release_frees_it() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let ttl = Duration::from_millis(1400);
    let held = lease(&stage.store, "a", ttl).await;
    // Twice its duration without renewal.
    for _ in 0..14 {
        tokio::time::sleep(ttl / 7).await;
        stage.store.renew(&held).await.unwrap();
    }
    assert_eq!(stage.store.holder().await.unwrap().unwrap().token, held.token);
    stage.store.release(&held).await.unwrap();
    assert_eq!(stage.store.holder().await.unwrap(), None);
    assert!(is_lost(stage.store.release(&held).await));
    let next = stage.lease("b").await;
    assert!(next.token > held.token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposed_learner_cannot_write() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let old = stage.lease("a").await;
    stage.store.put_run_spec(&old, &spec(RUN)).await.unwrap();
    let published = stage.store.publish(&old, &small(4)).await.unwrap();
    stage.store.release(&old).await.unwrap();
    let new = stage.lease("b").await;

    assert!(is_lost(stage.store.publish(&old, &small(5)).await));
    assert!(is_lost(stage.store.issue(&old, &[order(&old, "o")]).await));
    assert!(is_lost(stage.store.clear(&old).await));
    assert!(is_lost(stage.store.put_run_spec(&old, &spec(RUN)).await));
    assert!(is_lost(stage.store.renew(&old).await));
    assert!(is_lost(stage.store.release(&old).await));

    assert_eq!(stage.store.holder().await.unwrap().unwrap().token, new.token);
    assert_eq!(stage.current().await.unwrap().upload, published.upload);
    assert_eq!(stage.store.manifest(small(5).id).await.unwrap(), None);
    assert!(pending(&stage.store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_grows_after_loss_of_redis() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let first = stage.lease("a").await;
    stage.wipe().await;
    assert!(is_lost(stage.store.renew(&first).await));
    assert!(is_lost(stage.store.publish(&first, &small(1)).await));
    // Far ahead of any clock: only the caller's last known token preserves the order.
    let last_known = FenceToken(first.token.0 + 1_000_000_000_000);
    let asked = LeaseRequest { last_known, ..request("a", PATIENCE) };
    let second = stage.store.acquire(&asked).await.unwrap();
    assert_eq!(second.token, FenceToken(last_known.0 + 1));
    let third = stage.lease("a").await;
    assert!(third.token > second.token);
    stage.store.publish(&third, &small(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_owner_can_acquire_again_with_a_newer_token() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let before = stage.lease("a").await;
    let after = stage.lease("a").await;
    assert!(after.token > before.token);
    assert!(is_lost(stage.store.renew(&before).await));
    stage.store.renew(&after).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_invalid_leases_specifications_and_orders() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let store = &stage.store;
    let invalid = |error| matches!(error, BroadcastError::Invalid { .. });
    assert!(invalid(store.acquire(&request("", PATIENCE)).await.unwrap_err()));
    assert!(invalid(store.acquire(&request("a", Duration::ZERO)).await.unwrap_err()));
    let endless = LeaseRequest { last_known: FenceToken(u64::MAX), ..request("a", PATIENCE) };
    assert!(invalid(store.acquire(&endless).await.unwrap_err()));

    let held = stage.lease("a").await;
    assert!(invalid(store.put_run_spec(&held, &spec("another")).await.unwrap_err()));
    assert_eq!(store.run_spec().await.unwrap(), None);
    store.put_run_spec(&held, &spec(RUN)).await.unwrap();
    assert_eq!(store.run_spec().await.unwrap(), Some(spec(RUN)));

    let mut stray = order(&held, "o");
    stray.run_id = "another".to_owned();
    assert!(invalid(store.issue(&held, &[stray]).await.unwrap_err()));
    let mut stray = order(&held, "o");
    stray.fence += 1;
    assert!(invalid(store.issue(&held, &[order(&held, "fine"), stray]).await.unwrap_err()));
    assert!(pending(store).await.is_empty());
    assert!(invalid(store.next("", soon()).await.unwrap_err()));
}
