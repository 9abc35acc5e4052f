//! Settings, passwords, and two runs in one Redis.

use crate::redis_server::RedisServer;
use crate::stage::{
    RUN, config, connect, current, lease, order, pending, policy, small, soon, spec,
};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_test_tools::needs;
use std::time::Duration;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(30);

#[tokio::test]
async fn runs_in_one_redis_are_isolated() {
    needs!("redis-server");
    let server = RedisServer::start();
    let (one, two) = (connect(&server, RUN).await, connect(&server, "run-2").await);
    let first = lease(&one, "a", TTL).await;
    let second = lease(&two, "b", TTL).await;
    one.publish(&first, &small(1)).await.unwrap();
    one.put_run_spec(&first, &spec(RUN)).await.unwrap();
    one.issue(&first, &[order(&first, "o")]).await.unwrap();
    assert_eq!(current(&server, "run-2").await, None);
    assert_eq!(two.run_spec().await.unwrap(), None);
    assert_eq!(two.manifest(policy(1)).await.unwrap(), None);
    assert_eq!(two.next("w", Instant::now()).await.unwrap(), None);
    two.clear(&second).await.unwrap();
    two.publish(&second, &small(9)).await.unwrap();
    assert_eq!(pending(&one).await, ["o"]);
    assert_eq!(current(&server, RUN).await.unwrap().id, "v1");
    assert_eq!(one.holder().await.unwrap().unwrap().owner, "a");
}

#[tokio::test]
async fn all_keys_are_in_the_slot_of_the_run() {
    needs!("redis-server");
    let server = RedisServer::start();
    let store = connect(&server, RUN).await;
    let held = lease(&store, "a", TTL).await;
    store.clear(&held).await.unwrap();
    store.publish(&held, &small(1)).await.unwrap();
    store.put_run_spec(&held, &spec(RUN)).await.unwrap();
    store.issue(&held, &[order(&held, "o")]).await.unwrap();
    store.report_worker("w", policy(1).version).await.unwrap();
    let mut connection = server.connection().await;
    let mut keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    keys.sort();
    let names: Vec<_> =
        keys.iter().map(|key| key.strip_prefix("ddpo:{run-1}:").expect("the prefix")).collect();
    let chunk = format!("chunk:{}:0", current(&server, RUN).await.unwrap().upload);
    let expected = [
        chunk.as_str(),
        "current",
        "fence",
        "lease",
        "manifest:v1",
        "orders",
        "orders:index",
        "orders:nonce",
        "orders:wake",
        "spec",
        "weights",
        "workers",
    ];
    assert_eq!(names, expected);
}

/// Storage of a run is bounded: deleting weights deletes their chunks.
#[tokio::test]
async fn deleted_and_replaced_weights_leave_no_chunks() {
    needs!("redis-server");
    let server = RedisServer::start();
    let store = connect(&server, RUN).await;
    let held = lease(&store, "a", TTL).await;
    for version in 0..6 {
        store.publish(&held, &small(version)).await.unwrap();
    }
    let mut other = small(5);
    other.weights_digest = ddpo_rollout::trajectory::Digest([9; 32]);
    store.publish(&held, &other).await.unwrap();
    store.publish(&held, &small(1)).await.unwrap_err();
    let mut connection = server.connection().await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*:chunk:*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        let ttl: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert_eq!(ttl, -1, "{key} expires");
    }
}

#[tokio::test]
async fn wrong_password_is_reported_but_not_shown() {
    needs!("redis-server");
    let server = RedisServer::start_with_password("right-and-long");
    let wrong = "s3cret/%40word";
    let in_url = server.url().replace("redis://", "redis://default:s3cret%2F%2540word@");
    let separate = RedisConfig { password: Some(wrong.to_owned()), ..config(&server, RUN) };
    let began = Instant::now();
    for config in
        [RedisConfig { url: in_url, ..config(&server, RUN) }, separate, config(&server, RUN)]
    {
        let error = RedisBroadcast::connect(&config).await.unwrap_err();
        assert!(matches!(error, BroadcastError::Refused { .. }), "{error}");
        for text in [error.to_string(), format!("{error:?} {config:?}")] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5), "a wrong password is not tried for long");
    let password = Some("right-and-long".to_owned());
    let right = RedisConfig { password, ..config(&server, RUN) };
    let store = RedisBroadcast::connect(&right).await.unwrap();
    lease(&store, "a", TTL).await;
    assert!(!format!("{store:?}").contains("right-and-long"));
}

#[tokio::test]
async fn rejects_invalid_settings() {
    let urls =
        ["", "localhost", "http://user:hidden@host/", "redis://:hidden@", "redis://h/hidden"];
    for url in urls {
        let error = RedisBroadcast::connect(&RedisConfig::new(url, RUN)).await.unwrap_err();
        assert!(matches!(error, BroadcastError::Invalid { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    for run in ["", "a b", "a{b}", "a:b", &"x".repeat(129)] {
        let error =
            RedisBroadcast::connect(&RedisConfig::new("redis://host", run)).await.unwrap_err();
        assert!(matches!(error, BroadcastError::Invalid { .. }), "{run}: {error}");
    }
}

/// A future that is dropped while it waits takes no order.
#[tokio::test]
async fn dropping_a_waiting_next_loses_no_order() {
    needs!("redis-server");
    let server = RedisServer::start();
    let store = connect(&server, RUN).await;
    let held = lease(&store, "a", TTL).await;
    for _ in 0..5 {
        let waiting = store.next("w", soon());
        let dropped = tokio::time::timeout(Duration::from_millis(60), waiting).await;
        assert!(dropped.is_err());
    }
    store.issue(&held, &[order(&held, "o")]).await.unwrap();
    let delivery = store.next("w2", soon()).await.unwrap().unwrap();
    assert_eq!(delivery.attempt, 1);
}
