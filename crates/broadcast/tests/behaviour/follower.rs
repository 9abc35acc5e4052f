//! Followers learn of new weights by notice, and by polling where the notice was missed.

use crate::stage::{Stage, policy, small, soon, with_both};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::follower::Follower;
use ddpo_broadcast::source::{Exposure, PublishRequest};
use std::time::Duration;
use tokio::time::Instant;

with_both!(
    new_weights_reach_followers_by_notice,
    weights_that_were_there_before_reach_followers,
    weights_published_aside_do_not_reach_followers,
    after_a_wipe_the_weights_reach_followers_again,
);

/// So long that within a test only a notice can bring news.
const NO_POLL: Duration = Duration::from_secs(600);

async fn new_weights_reach_followers_by_notice(stage: Stage) {
    let lease = stage.lease("a").await;
    let mut followers: Vec<_> =
        (0..3).map(|_| Follower::start(stage.store.clone(), NO_POLL)).collect();
    for version in 1..4 {
        stage.store.publish(&lease, &small(version)).await.unwrap();
        for follower in &mut followers {
            let manifest = follower.changed(soon()).await.unwrap();
            assert_eq!(manifest.id, policy(version));
            assert_eq!(follower.current(), Some(manifest));
        }
    }
}

async fn weights_that_were_there_before_reach_followers(stage: Stage) {
    let lease = stage.lease("a").await;
    stage.store.publish(&lease, &small(1)).await.unwrap();
    let mut follower = Follower::start(stage.store.clone(), NO_POLL);
    assert_eq!(follower.changed(soon()).await.unwrap().id, policy(1));
    assert_eq!(follower.watch().borrow().as_ref().unwrap().id, policy(1));
}

async fn weights_published_aside_do_not_reach_followers(stage: Stage) {
    let lease = stage.lease("a").await;
    let mut follower = Follower::start(stage.store.clone(), Duration::from_millis(20));
    let aside = PublishRequest { exposure: Exposure::Aside, ..small(1) };
    stage.store.publish(&lease, &aside).await.unwrap();
    let within = Instant::now() + Duration::from_millis(300);
    let error = follower.changed(within).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Timeout { .. }), "{error}");
}

async fn after_a_wipe_the_weights_reach_followers_again(stage: Stage) {
    let lease = stage.lease("a").await;
    let mut follower = Follower::start(stage.store.clone(), Duration::from_millis(50));
    stage.store.publish(&lease, &small(1)).await.unwrap();
    let before = follower.changed(soon()).await.unwrap();
    stage.wipe().await;
    let lease = stage.lease("a").await;
    stage.store.publish(&lease, &small(1)).await.unwrap();
    let after = follower.changed(soon()).await.unwrap();
    assert_eq!(after.weights_digest, before.weights_digest);
    assert_ne!(after.upload, before.upload);
    stage.store.fetch(&after).await.unwrap();
}
