//! Redis with values that no program of the run has written: damaged weights, foreign workers, keys of
//! another type.

use crate::redis_server::RedisServer;
use crate::stage::{RUN, config, connect, lease, order, policy, small, soon, spec};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::Lease;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_test_tools::needs;
use std::time::Duration;

/// A server, its store, and a lease.
async fn start() -> (RedisServer, RedisBroadcast, Lease) {
    let server = RedisServer::start();
    let quick = RedisConfig { patience: Duration::from_millis(300), ..config(&server, RUN) };
    let store = RedisBroadcast::connect(&quick).await.unwrap();
    let lease = lease(&store, "a", Duration::from_secs(60)).await;
    (server, store, lease)
}

/// Runs a command whose arguments may be any bytes.
async fn run(server: &RedisServer, words: &[&[u8]]) {
    let mut command = redis::Cmd::new();
    words.iter().for_each(|&word| _ = command.arg(word));
    let mut connection = server.connection().await;
    let _: redis::Value = command.query_async(&mut connection).await.unwrap();
}

fn key(name: &str) -> String {
    format!("ddpo:{{{RUN}}}:{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_weights_are_found_and_published_again() {
    needs!("redis-server");
    let (server, store, held) = start().await;
    let manifest = store.publish(&held, &small(1)).await.unwrap();
    store.verify(&small(1)).await.unwrap();
    let chunk = key(&format!("chunk:{}:0", manifest.upload));
    let too_long = vec![7; 1 << 20];
    for value in [&b"12345678"[..], b"short", &too_long] {
        run(&server, &[b"SET", chunk.as_bytes(), value]).await;
        assert!(store.is_present(policy(1)).await.unwrap(), "it seems to be there");
        let error = store.fetch(&manifest).await.unwrap_err();
        assert!(matches!(error, BroadcastError::Corrupt { .. }), "{error}");
        assert!(store.verify(&small(1)).await.unwrap_err().is_damage());
    }
    assert!(!store.is_reported(policy(1)).await.unwrap());
    store.report_broken(policy(1), "chunk 0").await.unwrap();
    assert!(store.is_reported(policy(1)).await.unwrap());
    let again = store.publish_again(&held, &small(1)).await.unwrap();
    assert_ne!(again.upload, manifest.upload);
    store.forget_report(policy(1)).await.unwrap();
    assert!(!store.is_reported(policy(1)).await.unwrap());
    store.verify(&small(1)).await.unwrap();
    store.fetch(&again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_other_weights_does_not_pass() {
    needs!("redis-server");
    let (server, store, held) = start().await;
    store.publish(&held, &small(1)).await.unwrap();
    let other = store.publish(&held, &small(2)).await.unwrap();
    let text = other.to_json().unwrap();
    for forged in [text.clone(), text.replace("\"v2\"", "\"v1\""), "{".to_owned()] {
        run(&server, &[b"SET", key("manifest:v1").as_bytes(), forged.as_bytes()]).await;
        let error = store.verify(&small(1)).await.unwrap_err();
        assert!(error.is_damage(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_worker_names_do_not_stop_the_deletion_of_old_weights() {
    needs!("redis-server");
    let (server, store, held) = start().await;
    let workers = key("workers");
    let long = vec![b'x'; 1 << 20];
    for name in [&b"\xff\xfe"[..], &long, b"talkative"] {
        let report: &[u8] = if name == b"talkative" { b"\xff" } else { b"0 99999999999999" };
        run(&server, &[b"HSET", workers.as_bytes(), name, report]).await;
    }
    run(&server, &[b"HSET", key("weights").as_bytes(), b"\xfe", b"\xff"]).await;
    for version in 1..=8 {
        store.publish(&held, &small(version)).await.unwrap();
    }
    assert!(store.workers().await.unwrap().is_empty());
    let mut connection = server.connection().await;
    let left: usize = redis::cmd("HLEN").arg(&workers).query_async(&mut connection).await.unwrap();
    assert_eq!(left, 0);
    let chunks: Vec<String> =
        redis::cmd("KEYS").arg("*:chunk:*").query_async(&mut connection).await.unwrap();
    assert_eq!(chunks.len(), 2, "{chunks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_type_are_named_and_removed() {
    needs!("redis-server");
    let (server, store, held) = start().await;
    let put_back = async || {
        let held = lease(&store, "a", Duration::from_secs(60)).await;
        store.put_run_spec(&held, &spec(RUN)).await?;
        store.clear(&held).await?;
        store.publish(&held, &small(1)).await?;
        store.issue(&held, &[order(&held, "o")]).await?;
        store.report_worker("w", policy(1).version).await?;
        store.is_reported(policy(1)).await?;
        let taken = store.next("w", soon()).await?;
        store.acknowledge(&taken.unwrap()).await
    };
    put_back().await.unwrap();
    for name in ["weights", "current", "workers", "broken", "orders:wake", "manifest:v1"] {
        let kind: &[u8] = if name == "manifest:v1" { b"LPUSH" } else { b"SET" };
        run(&server, &[b"DEL", key(name).as_bytes()]).await;
        run(&server, &[kind, key(name).as_bytes(), b"planted"]).await;
        if name != "manifest:v1" {
            let error = put_back().await.unwrap_err();
            assert!(matches!(error, BroadcastError::WrongType { .. }), "{name}: {error}");
            assert!(error.to_string().contains("a value of another type"), "{error}");
            assert_eq!(store.remove_foreign_keys().await.unwrap(), [key(name)]);
        }
        put_back().await.unwrap();
        store.verify(&small(1)).await.unwrap();
    }
    run(&server, &[b"DEL", key("lease").as_bytes()]).await;
    run(&server, &[b"SET", key("lease").as_bytes(), b"planted"]).await;
    let error = store.renew(&held).await.unwrap_err();
    assert!(matches!(error, BroadcastError::WrongType { .. }), "{error}");
    assert_eq!(store.remove_foreign_keys().await.unwrap(), [key("lease")]);
    put_back().await.unwrap();
    let other = connect(&server, RUN).await;
    assert!(other.remove_foreign_keys().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_specification_is_noticed() {
    needs!("redis-server");
    let (server, store, held) = start().await;
    store.put_run_spec(&held, &spec(RUN)).await.unwrap();
    assert!(store.is_run_spec(&spec(RUN)).await.unwrap());
    let longer = format!("{} ", serde_json::to_string(&spec(RUN)).unwrap());
    for planted in [&b"{}"[..], b"\xff", longer.as_bytes()] {
        run(&server, &[b"SET", key("spec").as_bytes(), planted]).await;
        assert!(!store.is_run_spec(&spec(RUN)).await.unwrap());
    }
    run(&server, &[b"SET", key("spec").as_bytes(), b"\xff"]).await;
    let error = store.run_spec().await.unwrap_err();
    assert!(matches!(error, BroadcastError::Invalid { .. }), "{error}");
    store.put_run_spec(&held, &spec(RUN)).await.unwrap();
    assert!(store.is_run_spec(&spec(RUN)).await.unwrap());
}
