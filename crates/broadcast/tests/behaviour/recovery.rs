//! Redis is killed and restarted empty: learner and sampler continue on their connections.

use crate::redis_server::RedisServer;
use crate::stage::{RUN, await_lease, config, connect, lease, order, policy, request, small, soon};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::LeaseRequest;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_test_tools::needs;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learner_and_sampler_survive_a_killed_server() {
    needs!("redis-server");
    let mut server = RedisServer::start();
    let learner = connect(&server, RUN).await;
    let sampler = Arc::new(connect(&server, RUN).await);
    let held = lease(&learner, "a", Duration::from_secs(30)).await;
    let nonce = learner.clear(&held).await.unwrap();
    learner.publish(&held, &small(1)).await.unwrap();
    assert!(sampler.manifest(policy(1)).await.unwrap().is_some());
    let waiting = {
        let sampler = sampler.clone();
        tokio::spawn(async move {
            loop {
                // Like a sampler's loop: transient errors are logged and retried.
                match sampler.next("w", soon()).await {
                    Ok(found) => return found,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
        })
    };

    server.kill();
    server.start_again();

    let lost = learner.renew(&held).await.unwrap_err();
    assert!(lost.is_lost_lease(), "{lost}");
    let asked = LeaseRequest { last_known: held.token, ..request("a", Duration::from_secs(30)) };
    let again = await_lease(&learner, &asked).await;
    assert!(again.token > held.token);
    assert!(!learner.is_present(policy(1)).await.unwrap());
    assert!(!learner.exists(&nonce).await.unwrap());
    learner.clear(&again).await.unwrap();
    learner.publish(&again, &small(1)).await.unwrap();
    learner.issue(&again, &[order(&again, "o")]).await.unwrap();

    let delivery = waiting.await.unwrap().expect("the order that was issued again");
    assert_eq!(delivery.order.order_id, "o");
    let manifest = sampler.manifest(policy(1)).await.unwrap().unwrap();
    assert_eq!(manifest.fence, again.token);
    sampler.fetch(&manifest).await.unwrap();
    sampler.acknowledge(&delivery).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_retries_while_the_server_restarts() {
    needs!("redis-server");
    let mut server = RedisServer::start();
    let store = connect(&server, RUN).await;
    server.kill();
    let asking = tokio::spawn(async move { store.holder().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.start_again();
    assert_eq!(asking.await.unwrap().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_fails_after_its_patience() {
    needs!("redis-server");
    let mut server = RedisServer::start();
    let patience = Duration::from_millis(500);
    let config = RedisConfig { patience, ..config(&server, RUN) };
    let store = RedisBroadcast::connect(&config).await.unwrap();
    server.kill();
    let began = Instant::now();
    let error = store.holder().await.unwrap_err();
    assert!(matches!(error, BroadcastError::Unavailable { .. }), "{error}");
    assert!(error.is_transient());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let error = store.next("w", Instant::now() + patience).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let error = RedisBroadcast::connect(&config).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// A server that accepts connections and never answers: the deadline ends the call, and the same
/// store works once the server answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_up_on_a_server_that_does_not_answer() {
    needs!("redis-server");
    let server = RedisServer::start();
    let quick = RedisConfig {
        response_timeout: Duration::from_millis(200),
        patience: Duration::from_millis(300),
        ..config(&server, RUN)
    };
    let store = RedisBroadcast::connect(&quick).await.unwrap();
    let mut connection = server.connection().await;
    // Pauses all commands, including those of the test's connection.
    let pause = redis::cmd("CLIENT").arg("PAUSE").arg(1500).arg("ALL").clone();
    pause.exec_async(&mut connection).await.unwrap();
    let error = store.holder().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let deadline = soon();
    while let Err(error) = store.holder().await {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
    }
}
