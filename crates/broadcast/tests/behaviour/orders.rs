//! Tests of orders: one worker at a time works on an order until it is acknowledged.

use crate::stage::{CLAIM_AFTER, RUN, Stage, await_orders, connect, is_lost, order, pending, soon};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::orders::Delivery;
use ddpo_rollout::order::WorkOrder;
use ddpo_test_tools::needs;
use std::time::Duration;
use tokio::time::Instant;

async fn taken(stage: &Stage, worker: &str) -> Delivery {
    stage.store.next(worker, soon()).await.unwrap().expect("an order within the deadline")
}

fn is_lost_order(result: Result<(), BroadcastError>) -> bool {
    matches!(result, Err(BroadcastError::LostOrder { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_delivered_in_order_and_once() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let orders: Vec<_> = (0..300).map(|i| order(&lease, &format!("o{i}"))).collect();
    stage.store.issue(&lease, &orders).await.unwrap();
    for (index, expected) in orders.iter().enumerate() {
        let delivery = taken(&stage, ["w0", "w1"][index % 2]).await;
        assert_eq!((&delivery.order, delivery.attempt), (expected, 1));
        stage.store.acknowledge(&delivery).await.unwrap();
        stage.store.acknowledge(&delivery).await.unwrap();
    }
    assert!(pending(&stage.store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_share_the_orders() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let work = |worker: String| {
        let store = stage.store.clone();
        tokio::spawn(async move {
            let mut done = Vec::new();
            loop {
                let delivery = store.next(&worker, soon()).await.unwrap().unwrap();
                store.acknowledge(&delivery).await.unwrap();
                if delivery.order.epoch == u32::MAX {
                    return done;
                }
                // On a busy machine a worker may seem silent; first deliveries are still unique.
                if delivery.attempt == 1 {
                    done.push(delivery.order.samples[0]);
                }
            }
        })
    };
    let workers: Vec<_> = (0..4).map(|index| work(format!("w{index}"))).collect();
    let named =
        |index: u32| WorkOrder { samples: vec![index], ..order(&lease, &format!("o{index}")) };
    for batch in (0..120).collect::<Vec<_>>().chunks(7) {
        let orders: Vec<_> = batch.iter().copied().map(named).collect();
        stage.store.issue(&lease, &orders).await.unwrap();
    }
    // One extra order per worker ends it.
    let last: Vec<_> =
        (200..204).map(|index| WorkOrder { epoch: u32::MAX, ..named(index) }).collect();
    stage.store.issue(&lease, &last).await.unwrap();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    done.sort_unstable();
    assert_eq!(done, (0..120).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_order_wakes_a_waiting_worker() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let store = stage.store.clone();
    let waiting = tokio::spawn(async move {
        let delivery = store.next("w", soon()).await.unwrap().unwrap();
        (delivery, Instant::now())
    });
    // The order reaches the worker at any point of its wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let issued = Instant::now();
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    let (delivery, at) = waiting.await.unwrap();
    assert_eq!(delivery.order.order_id, "o");
    assert!(at - issued < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_returns_nothing_at_the_deadline() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let wait = Duration::from_millis(300);
    let began = Instant::now();
    assert_eq!(stage.store.next("w", began + wait).await.unwrap(), None);
    let waited = began.elapsed();
    assert!(waited >= wait && waited < wait + Duration::from_secs(5), "{waited:?}");
    assert_eq!(stage.store.next("w", Instant::now()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_of_a_silent_worker_goes_to_another() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    let began = Instant::now();
    let first = taken(&stage, "dead").await;
    let second = taken(&stage, "alive").await;
    let waited = began.elapsed();
    assert_eq!((second.order, second.attempt), (first.order.clone(), 2));
    // Not before the time in Redis's milliseconds, and soon after it.
    assert!(waited > CLAIM_AFTER - Duration::from_millis(5), "{waited:?}");
    assert!(waited < CLAIM_AFTER + Duration::from_secs(5), "{waited:?}");
    // The first worker resumes and finishes: acknowledging is valid from any worker.
    stage.store.acknowledge(&first).await.unwrap();
    assert!(pending(&stage.store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alive_prevents_a_claim() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    let delivery = taken(&stage, "slow").await;
    let (store, held) = (stage.store.clone(), delivery.clone());
    let until = Instant::now() + CLAIM_AFTER * 4;
    let living = tokio::spawn(async move {
        while Instant::now() < until {
            store.keep_alive(&held).await.unwrap();
            tokio::time::sleep(CLAIM_AFTER / 8).await;
        }
    });
    assert_eq!(stage.store.next("eager", until).await.unwrap(), None);
    living.await.unwrap();
    let claimed = taken(&stage, "eager").await;
    assert_eq!(claimed.attempt, 2, "keep-alives are not deliveries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_order_cannot_be_kept_or_handed_back() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    let lost = taken(&stage, "first").await;
    let held = taken(&stage, "second").await;
    assert!(is_lost_order(stage.store.keep_alive(&lost).await));
    assert!(is_lost_order(stage.store.hand_back(&lost).await));
    stage.store.keep_alive(&held).await.unwrap();
    // Not even an earlier delivery to the same worker counts.
    let again = taken(&stage, "second").await;
    assert_eq!(again.attempt, 3);
    assert!(is_lost_order(stage.store.keep_alive(&held).await));
    stage.store.acknowledge(&again).await.unwrap();
    assert!(is_lost_order(stage.store.keep_alive(&again).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_handed_back_goes_to_another_worker_immediately() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let orders = [order(&lease, "o1"), order(&lease, "o2")];
    stage.store.issue(&lease, &orders).await.unwrap();
    let leaving = taken(&stage, "leaving").await;
    stage.store.hand_back(&leaving).await.unwrap();
    assert!(is_lost_order(stage.store.keep_alive(&leaving).await));
    let waiting = stage.store.pending().await.unwrap();
    assert!(waiting.iter().all(|order| order.in_flight.is_none()), "{waiting:?}");
    // Without waiting.
    let next = stage.store.next("staying", Instant::now()).await.unwrap().unwrap();
    assert_eq!((next.order.order_id.as_str(), next.attempt), ("o1", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuing_an_order_twice_queues_it_once() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let orders = [order(&lease, "o1"), order(&lease, "o2")];
    stage.store.issue(&lease, &orders[..1]).await.unwrap();
    let first = taken(&stage, "w").await;
    stage.store.issue(&lease, &orders).await.unwrap();
    assert_eq!(pending(&stage.store).await, ["o1", "o2"]);
    stage.store.keep_alive(&first).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_removes_every_order() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let old = stage.lease("a").await;
    let former = stage.store.clear(&old).await.unwrap();
    stage.store.issue(&old, &[order(&old, "o1"), order(&old, "o2")]).await.unwrap();
    let held = taken(&stage, "w").await;

    let new = stage.lease("a").await;
    assert!(is_lost(stage.store.clear(&old).await));
    let nonce = stage.store.clear(&new).await.unwrap();
    assert!(pending(&stage.store).await.is_empty());
    assert!(!stage.store.exists(&former).await.unwrap());
    assert!(stage.store.exists(&nonce).await.unwrap());
    assert!(is_lost_order(stage.store.keep_alive(&held).await));

    stage.store.issue(&new, &[order(&new, "o1")]).await.unwrap();
    // An acknowledgement from the previous queue does not affect this one.
    stage.store.acknowledge(&held).await.unwrap();
    assert!(is_lost_order(stage.store.hand_back(&held).await));
    assert_eq!(pending(&stage.store).await, ["o1"]);
    assert_eq!(taken(&stage, "w").await.order.fence, new.token.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_only_removes_other_orders_taken_or_not() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let (old, lease) = (stage.lease("a").await, stage.lease("a").await);
    let orders = ["o1", "o2", "o3", "o4"].map(|name| order(&lease, name));
    stage.store.issue(&lease, &orders).await.unwrap();
    let (kept, removed) = (taken(&stage, "w1").await, taken(&stage, "w2").await);
    stage.plant(&[("id", "o3"), ("order", "a copy under a name that stays")]).await;
    stage.plant(&[("no", "order")]).await;

    assert!(is_lost(stage.store.keep_only(&old, []).await));
    assert_eq!(pending(&stage.store).await.len(), 6);
    assert_eq!(stage.store.keep_only(&lease, ["o1", "o3", "o5"]).await.unwrap(), 4);
    assert_eq!(pending(&stage.store).await, ["o1", "o3"]);
    stage.store.keep_alive(&kept).await.unwrap();
    assert!(is_lost_order(stage.store.keep_alive(&removed).await));
    assert!(is_lost_order(stage.store.hand_back(&removed).await));
    assert_eq!(stage.store.next("w3", Instant::now()).await.unwrap().unwrap().order, orders[2]);
    // A removed order can be issued again.
    stage.store.issue(&lease, &orders[1..2]).await.unwrap();
    assert_eq!(taken(&stage, "w3").await.order, orders[1]);

    assert_eq!(stage.store.keep_only(&lease, []).await.unwrap(), 3);
    stage.wipe().await;
    let lease = stage.lease("a").await;
    assert_eq!(stage.store.keep_only(&lease, ["o1"]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_of_redis_is_detected_and_orders_can_be_issued_again() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    let nonce = stage.store.clear(&lease).await.unwrap();
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    let held = taken(&stage, "w").await;
    // A waiting worker is not affected.
    let store = stage.store.clone();
    let waiting = tokio::spawn(async move { store.next("w2", soon()).await.unwrap().unwrap() });
    stage.wipe().await;
    assert!(!stage.store.exists(&nonce).await.unwrap());
    assert!(is_lost_order(stage.store.keep_alive(&held).await));
    stage.store.acknowledge(&held).await.unwrap();

    let lease = stage.lease("a").await;
    let nonce = stage.store.clear(&lease).await.unwrap();
    assert!(stage.store.exists(&nonce).await.unwrap());
    stage.store.issue(&lease, &[order(&lease, "again")]).await.unwrap();
    assert_eq!(waiting.await.unwrap().order.order_id, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_order_can_be_issued_again() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    stage.store.acknowledge(&taken(&stage, "w").await).await.unwrap();
    stage.store.issue(&lease, &[order(&lease, "o")]).await.unwrap();
    assert_eq!(taken(&stage, "w").await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_orders_name_their_worker() {
    needs!("redis-server");
    let stage = Stage::start().await;
    let lease = stage.lease("a").await;
    stage.store.issue(&lease, &[order(&lease, "o1"), order(&lease, "o2")]).await.unwrap();
    taken(&stage, "w").await;
    let found = stage.store.pending().await.unwrap();
    assert_eq!(found.len(), 2);
    let first = found[0].in_flight.as_ref().unwrap();
    assert_eq!((first.worker.as_str(), first.attempt), ("w", 1));
    assert!(first.silent_for < Duration::from_secs(5));
    assert_eq!(found[1].in_flight, None);
}

/// Any client can write to Redis: an entry that is not an order of this run is removed and
/// reported.
#[tokio::test]
async fn malformed_order_is_removed_and_reported() {
    needs!("redis-server");
    let server = crate::redis_server::RedisServer::start();
    let store = connect(&server, RUN).await;
    let lease = crate::stage::lease(&store, "a", crate::stage::PATIENCE).await;
    let mut foreign = order(&lease, "foreign");
    foreign.run_id = "another".to_owned();
    let foreign = serde_json::to_string(&foreign).unwrap();
    let stream = format!("ddpo:{{{RUN}}}:orders");
    let mut connection = server.connection().await;
    let entries: [&[&[u8]]; 5] = [
        &[b"id", b"x", b"order", b"{\"run_id\": 5}"],
        &[b"something", b"else"],
        &[b"id", b"x", b"order", b"\x00\x01"],
        &[b"id", b"\xff", b"order", b"\xff\xfe"],
        &[b"id", b"x", b"order", foreign.as_bytes()],
    ];
    for fields in entries {
        let mut add = redis::cmd("XADD");
        add.arg(&stream).arg("*").arg(fields).exec_async(&mut connection).await.unwrap();
    }
    store.issue(&lease, &[order(&lease, "good")]).await.unwrap();
    assert_eq!(pending(&store).await.len(), 6);
    for _ in entries {
        let error = store.next("w", soon()).await.unwrap_err();
        assert!(matches!(error, BroadcastError::MalformedOrder { .. }), "{error}");
    }
    let good = store.next("w", soon()).await.unwrap().unwrap();
    assert_eq!(good.order.order_id, "good");
    store.acknowledge(&good).await.unwrap();
    await_orders(&store, &[]).await;
    let left: u64 = redis::cmd("XLEN").arg(&stream).query_async(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}
