//! Servers of other kinds and in other states: full, replicas, Clusters, Sentinels, sockets.

use crate::redis_server::RedisServer;
use crate::stage::{RUN, config, lease, small};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_test_tools::needs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(60);

async fn run(server: &RedisServer, words: &[&str]) {
    let mut command = redis::Cmd::new();
    words.iter().for_each(|&word| _ = command.arg(word));
    let mut connection = server.connection().await;
    let _: redis::Value = command.query_async(&mut connection).await.unwrap();
}

async fn store_with(server: &RedisServer, patience: Duration) -> RedisBroadcast {
    let config = RedisConfig { patience, ..config(server, RUN) };
    RedisBroadcast::connect(&config).await.unwrap()
}

/// Brings a server into a state, and checks that a publication fails with an error that names the state,
/// and that one that is under way succeeds when the state ends.
async fn waits_for(begin: &[&[&str]], end: &[&[&str]], named: &str) {
    let server = RedisServer::start();
    let hasty = store_with(&server, Duration::from_millis(200)).await;
    let patient = Arc::new(store_with(&server, Duration::from_secs(20)).await);
    let held = lease(&patient, "a", TTL).await;
    for words in begin {
        run(&server, words).await;
    }
    let error = hasty.publish(&held, &small(1)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(named), "{error}");
    assert!(error.to_string().contains("waiting for redis, which "), "{error}");
    let publishing = {
        let (patient, held) = (Arc::clone(&patient), held.clone());
        tokio::spawn(async move { patient.publish(&held, &small(1)).await })
    };
    // It has failed at least once, and waits.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!publishing.is_finished());
    for words in end {
        run(&server, words).await;
    }
    publishing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_waits_while_memory_is_full() {
    needs!("redis-server");
    let set = ["CONFIG", "SET", "maxmemory"];
    let (full, free) = ([set[0], set[1], set[2], "1"], [set[0], set[1], set[2], "0"]);
    waits_for(&[&full], &[&free], "out of memory").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_waits_for_a_failover() {
    needs!("redis-server");
    let begin = ["REPLICAOF", "127.0.0.1", "1"];
    waits_for(&[&begin], &[&["REPLICAOF", "NO", "ONE"]], "is a read-only replica").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_waits_for_a_replica_without_its_primary() {
    needs!("redis-server");
    let stale = ["CONFIG", "SET", "replica-serve-stale-data", "no"];
    let begin: [&[&str]; 2] = [&stale, &["REPLICAOF", "127.0.0.1", "1"]];
    waits_for(&begin, &[&["REPLICAOF", "NO", "ONE"]], "is a replica without its primary").await;
}

async fn refused(url: String) -> String {
    let config = RedisConfig { patience: Duration::from_secs(2), ..RedisConfig::new(url, RUN) };
    let error = RedisBroadcast::connect(&config).await.unwrap_err();
    assert!(matches!(error, BroadcastError::Invalid { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn refuses_a_cluster_by_name() {
    needs!("redis-server");
    let server = RedisServer::start_cluster();
    let found = refused(server.url()).await;
    assert!(
        found.contains("expected a single server, found a server of a Redis Cluster"),
        "{found}"
    );
}

#[tokio::test]
async fn refuses_a_sentinel_by_name() {
    needs!("redis-server");
    let folder = tempfile::TempDir::new().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel").current_dir(folder.path());
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "the Sentinel does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = refused(format!("redis://127.0.0.1:{port}")).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(found.contains("expected a single server, found a Sentinel"), "{found}");
}

#[tokio::test]
async fn urls_of_other_kinds_are_refused_by_name_and_without_their_password() {
    for (url, part) in [
        ("redis+sentinel://:hidden@host:26379/main", "a Redis Sentinel, which is not supported"),
        ("redis-cluster://:hidden@host", "a Redis Cluster, which is not supported"),
        ("redis://:hid?den@host", "%3F"),
        ("redis://:hidden@host/name", "database number"),
        ("redis://:hidden@one,two", "found several hosts"),
    ] {
        let found = refused(url.to_owned()).await;
        assert!(found.contains(part), "{url}: {found}");
        assert!(!found.contains("hid"), "{url}: {found}");
    }
}

#[tokio::test]
async fn connects_by_socket_database_and_user() {
    needs!("redis-server");
    let server = RedisServer::start_with_socket();
    let socket = server.path("redis.sock");
    let socket = socket.display();
    let port = server.port();
    for url in [
        format!("unix://{socket}?pass=word"),
        format!("redis+unix://{socket}?db=2&user=default&pass=word"),
        format!("redis://default:word@127.0.0.1:{port}/3"),
        format!("valkey://:word@127.0.0.1:{port}"),
    ] {
        let store = RedisBroadcast::connect(&RedisConfig::new(&url, RUN)).await;
        let store = store.unwrap_or_else(|error| panic!("{url}: {error}"));
        lease(&store, "a", TTL).await;
        assert!(!format!("{store:?}").contains("word"));
    }
}
