//! Tests of an uplink and an intake over a loopback socket.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use ddpo_delivery::destination::Destination;
use ddpo_delivery::intake::IntakeSettings;
use ddpo_delivery::uplink::{LinkState, PendingReceipt, Uplink};
use ddpo_proto::stream::{Opening, Receipt, Verdict};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use support::*;
use tokio::runtime::Handle;

fn start(destination: Destination, servers: &[&TestServer]) -> Uplink {
    let addresses = servers.iter().map(|server| server.uri()).collect();
    Uplink::start(uplink_settings(destination, addresses), &Handle::current()).unwrap()
}

async fn receipt(pending: PendingReceipt) -> Receipt {
    within("receipt", pending).await.unwrap()
}

fn parts(sample: u32) -> (Opening, Vec<bytes::Bytes>, Vec<f32>) {
    let whole = small(sample);
    (Opening { identity: whole.identity, header: whole.header }, whole.states, whole.log_probs)
}

#[tokio::test]
async fn trajectory_from_a_plain_thread_arrives_unchanged() {
    let mut server = TestServer::start(Destination::Learner, IntakeSettings::default());
    let uplink = start(Destination::Learner, &[&server]);
    // Each state needs three chunks.
    let sent = trajectory(&opening(5, 2, [3, 512, 400]));
    let (thread_uplink, whole) = (uplink.clone(), sent.clone());
    let device =
        std::thread::spawn(move || thread_uplink.send(whole, Some(task_score(0.25))).unwrap());
    let (arrived, answer) = server.complete().await;
    assert_eq!(arrived.reward, Some(reward_id()));
    assert_eq!(arrived.score, Some(task_score(0.25).score));
    assert_eq!(arrived.states, sent.states);
    assert_eq!(arrived.log_probs, sent.log_probs);
    assert_eq!((&arrived.identity, &arrived.header), (&sent.identity, &sent.header));
    assert!(arrived.into_scored().is_ok());
    answer.answer(Verdict::Accepted, "");
    let receipt = receipt(device.join().unwrap()).await;
    assert_eq!((receipt.trajectory_id.as_str(), receipt.verdict), ("run/0/5", Verdict::Accepted));
    assert_eq!(uplink.close(PATIENCE).await, 0);
    assert_eq!(uplink.counters().bytes_sent.load(Relaxed), sent.state_bytes() as u64);
}

#[tokio::test]
async fn states_arrive_before_the_trajectory_is_finished() {
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let uplink = start(Destination::Rewarder, &[&server]);
    let (opening, states, log_probs) = parts(0);
    let (mut growing, pending) = uplink.open(opening).unwrap();
    server.event("opened run/0/0").await;
    for (index, state) in states.into_iter().enumerate() {
        growing.append_state(state).unwrap();
        server.event(&format!("state {index} run/0/0")).await;
    }
    growing.finish(log_probs, None).unwrap();
    server.complete().await.1.answer(Verdict::Duplicate, "known");
    let receipt = receipt(pending).await;
    assert_eq!((receipt.verdict, receipt.reason.as_str()), (Verdict::Duplicate, "known"));
}

#[tokio::test]
async fn opens_no_more_trajectories_than_credits_allow() {
    let settings = IntakeSettings { credits_per_stream: 2, ..IntakeSettings::default() };
    let mut server = TestServer::start(Destination::Rewarder, settings);
    let uplink = start(Destination::Rewarder, &[&server]);
    let pending: Vec<_> = (0..12).map(|i| uplink.send(small(i), None).unwrap()).collect();
    // Receipts are sent in reverse order of arrival.
    for _ in 0..6 {
        let (first, second) = (server.complete().await, server.complete().await);
        assert_eq!(server.intake.counters().opened.load(Relaxed) % 2, 0);
        second.1.answer(Verdict::Accepted, "");
        first.1.answer(Verdict::Accepted, "");
    }
    for pending in pending {
        assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
    }
    let counters = server.intake.counters();
    assert_eq!(counters.stream_errors.load(Relaxed), 0);
    assert_eq!(counters.completed.load(Relaxed), 12);
    assert_eq!(uplink.counters().reconnects.load(Relaxed), 0);
    assert_eq!(uplink.counters().receipts(Verdict::Accepted), 12);
}

#[tokio::test]
async fn trajectories_without_a_receipt_go_to_the_next_address_when_a_server_dies() {
    let mut first = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let mut second = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let uplink = start(Destination::Rewarder, &[&first, &second]);
    let answered = uplink.send(small(0), None).unwrap();
    let unanswered = uplink.send(small(1), None).unwrap();
    let (opening, states, log_probs) = parts(2);
    let (mut growing, grown) = uplink.open(opening).unwrap();
    growing.append_state(states[0].clone()).unwrap();
    first.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(answered).await.verdict, Verdict::Accepted);
    first.event("state 0 run/0/2").await;
    drop(first);
    for state in &states[1..] {
        growing.append_state(state.clone()).unwrap();
    }
    growing.finish(log_probs, None).unwrap();
    for sample in [1, 2] {
        let (arrived, answer) = second.complete().await;
        assert_eq!(arrived, small(sample));
        answer.answer(Verdict::Accepted, "");
    }
    assert_eq!(receipt(unanswered).await.verdict, Verdict::Accepted);
    assert_eq!(receipt(grown).await.verdict, Verdict::Accepted);
    assert_eq!(uplink.counters().trajectories_resent.load(Relaxed), 2);
    assert_eq!(uplink.counters().reconnects.load(Relaxed), 1);
}

#[tokio::test]
async fn reconnects_to_a_restarted_server() {
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let address = server.address;
    let uplink = start(Destination::Rewarder, &[&server]);
    let pending = uplink.send(small(0), None).unwrap();
    let _unanswered = server.complete().await;
    drop(server);
    let mut link = uplink.link();
    within("broken link", link.wait_for(|state| matches!(state, LinkState::Down { .. })))
        .await
        .unwrap();
    let settings = IntakeSettings::default();
    let mut server = TestServer::start_at(address, Destination::Rewarder, settings, None);
    server.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn resends_after_retry_later_and_after_a_dropped_receipt() {
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let uplink = start(Destination::Rewarder, &[&server]);
    let pending = uplink.send(small(0), None).unwrap();
    server.complete().await.1.answer(Verdict::RetryLater, "full");
    drop(server.complete().await);
    server.complete().await.1.answer(Verdict::Stale, "late");
    assert_eq!(receipt(pending).await.verdict, Verdict::Stale);
    assert_eq!(uplink.counters().receipts(Verdict::RetryLater), 2);
    assert_eq!(uplink.counters().trajectories_resent.load(Relaxed), 2);
    assert_eq!(uplink.counters().reconnects.load(Relaxed), 0);
}

#[tokio::test]
async fn overdue_receipt_closes_the_stream() {
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let mut settings = uplink_settings(Destination::Rewarder, vec![server.uri()]);
    settings.receipt_timeout = Duration::from_millis(200);
    let uplink = Uplink::start(settings, &Handle::current()).unwrap();
    let pending = uplink.send(small(0), None).unwrap();
    let withheld = server.complete().await.1;
    let (_, answer) = server.complete().await;
    answer.answer(Verdict::Accepted, "");
    assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
    assert!(uplink.counters().reconnects.load(Relaxed) >= 1);
    // Unanswered so far: the stream ended by the timeout, not by a verdict.
    drop(withheld);
}

#[tokio::test]
async fn abandoned_trajectory_frees_its_credit() {
    let settings = IntakeSettings { credits_per_stream: 1, ..IntakeSettings::default() };
    let mut server = TestServer::start(Destination::Rewarder, settings);
    let uplink = start(Destination::Rewarder, &[&server]);
    let (growing, pending) = uplink.open(parts(0).0).unwrap();
    server.event("opened run/0/0").await;
    growing.abandon("weights are stale");
    assert_eq!(server.event("abandoned").await, "abandoned run/0/0 weights are stale");
    assert!(within("end", pending).await.is_err());
    let (growing, pending) = uplink.open(parts(1).0).unwrap();
    server.event("opened run/0/1").await;
    drop(growing);
    server.event("abandoned run/0/1").await;
    assert!(within("end", pending).await.is_err());
    let pending = uplink.send(small(2), None).unwrap();
    server.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn early_rejection_ends_a_growing_trajectory() {
    let address = ([127, 0, 0, 1], 0).into();
    let settings = IntakeSettings { credits_per_stream: 1, ..IntakeSettings::default() };
    let stale = Some("run/0/0".to_owned());
    let mut server = TestServer::start_at(address, Destination::Rewarder, settings, stale);
    let uplink = start(Destination::Rewarder, &[&server]);
    let (opening, states, log_probs) = parts(0);
    let (mut growing, pending) = uplink.open(opening).unwrap();
    growing.append_state(states[0].clone()).unwrap();
    let refused = receipt(pending).await;
    assert_eq!((refused.verdict, refused.reason.as_str()), (Verdict::Stale, "epoch over"));
    for state in &states[1..] {
        growing.append_state(state.clone()).unwrap();
    }
    growing.finish(log_probs, None).unwrap();
    let pending = uplink.send(small(1), None).unwrap();
    server.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
    assert_eq!(server.intake.counters().stream_errors.load(Relaxed), 0);
}

#[tokio::test]
async fn draining_server_answers_complete_trajectories_and_rejects_others() {
    let mut first = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let mut second = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let uplink = start(Destination::Rewarder, &[&first, &second]);
    let whole = uplink.send(small(0), None).unwrap();
    let (opening, states, log_probs) = parts(1);
    let (mut growing, grown) = uplink.open(opening).unwrap();
    let (_, answer) = first.complete().await;
    first.event("opened run/0/1").await;
    first.intake.drain();
    answer.answer(Verdict::Accepted, "");
    assert_eq!(receipt(whole).await.verdict, Verdict::Accepted);
    first.event("lost run/0/1").await;
    states.into_iter().for_each(|state| growing.append_state(state).unwrap());
    growing.finish(log_probs, None).unwrap();
    second.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(grown).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn close_returns_the_number_of_trajectories_without_a_receipt() {
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let uplink = start(Destination::Rewarder, &[&server]);
    let pending = uplink.send(small(0), None).unwrap();
    let _withheld = server.complete().await;
    assert_eq!(uplink.close(Duration::from_millis(1)).await, 1);
    assert!(within("end", pending).await.is_err());
    assert!(uplink.open(parts(1).0).is_err());
}

#[tokio::test]
async fn rejects_trajectories_that_receivers_would_reject() {
    let server = TestServer::start(Destination::Learner, IntakeSettings::default());
    let uplink = start(Destination::Learner, &[&server]);
    let (opening, states, log_probs) = parts(0);
    let mut nameless = opening.clone();
    nameless.identity.run_id.clear();
    let error = uplink.open(nameless).unwrap_err();
    assert_eq!(error.to_string(), "run_id: expected a value, found none");
    let (mut growing, _pending) = uplink.open(opening).unwrap();
    let error = growing.append_state(states[0].slice(1..)).unwrap_err();
    assert_eq!(error.to_string(), "state 0: expected 192 bytes, found 191");
    states.iter().for_each(|state| growing.append_state(state.clone()).unwrap());
    assert!(growing.append_state(states[0].clone()).is_err());
    let error = growing.finish(log_probs, None).unwrap_err();
    assert_eq!(error.to_string(), "score: expected one on the way to the learner, found none");
    within("empty uplink", uplink.in_flight().wait_for(|&left| left == 0)).await.unwrap();
}

#[tokio::test]
async fn skips_a_server_that_accepts_and_never_answers() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = TestServer::start(Destination::Rewarder, IntakeSettings::default());
    let addresses = vec![server.uri(), format!("http://{}", silent.local_addr().unwrap())];
    let mut settings = uplink_settings(Destination::Rewarder, addresses);
    (settings.first_address, settings.connect_timeout) = (3, Duration::from_millis(200));
    let uplink = Uplink::start(settings, &Handle::current()).unwrap();
    let pending = uplink.send(small(0), None).unwrap();
    server.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
    assert_eq!(uplink.counters().connect_failures.load(Relaxed), 1);
}

#[tokio::test]
async fn every_trajectory_gets_its_receipt_through_kills_and_refusals() {
    let settings = IntakeSettings { credits_per_stream: 3, ..IntakeSettings::default() };
    let mut server = TestServer::start(Destination::Rewarder, settings.clone());
    let address = server.address;
    let uplink = start(Destination::Rewarder, &[&server]);
    let pending: Vec<_> = (0..24).map(|i| uplink.send(small(i), None).unwrap()).collect();
    let mut accepted = vec![0; 24];
    for round in 0.. {
        if *uplink.in_flight().borrow() == 0 {
            break;
        }
        let next = tokio::time::timeout(Duration::from_millis(50), server.complete()).await;
        let Ok((arrived, answer)) = next else { continue };
        match round % 7 {
            0 => answer.answer(Verdict::RetryLater, "not now"),
            3 => drop(answer),
            6 => {
                drop((server, answer));
                let again = settings.clone();
                server = TestServer::start_at(address, Destination::Rewarder, again, None);
            }
            _ => {
                accepted[arrived.header.coordinates.sample as usize] += 1;
                answer.answer(Verdict::Accepted, "");
            }
        }
    }
    for pending in pending {
        assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
    }
    assert!(accepted.iter().all(|&count| count >= 1), "{accepted:?}");
    assert!(uplink.counters().reconnects.load(Relaxed) > 0);
}

#[tokio::test]
async fn idle_stream_closed_by_the_receiver_is_not_a_failure() {
    let idle_timeout = Duration::from_millis(50);
    let settings = IntakeSettings { idle_timeout, ..IntakeSettings::default() };
    let mut server = TestServer::start(Destination::Rewarder, settings);
    let uplink = start(Destination::Rewarder, &[&server]);
    let mut link = uplink.link();
    for sample in 0..2 {
        let pending = uplink.send(small(sample), None).unwrap();
        server.complete().await.1.answer(Verdict::Accepted, "");
        assert_eq!(receipt(pending).await.verdict, Verdict::Accepted);
        within("idle link", link.wait_for(|state| *state == LinkState::Idle)).await.unwrap();
    }
    assert_eq!(uplink.counters().trajectories_resent.load(Relaxed), 0);
    assert_eq!(uplink.counters().connect_failures.load(Relaxed), 0);
}

#[tokio::test]
async fn failed_link_becomes_idle_when_nothing_is_left_to_send() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings = uplink_settings(Destination::Rewarder, vec![nobody]);
    let uplink = Uplink::start(settings, &Handle::current()).unwrap();
    let mut link = uplink.link();
    let (growing, _pending) = uplink.open(parts(0).0).unwrap();
    let down = |state: &LinkState| matches!(state, LinkState::Down { .. });
    within("link down", link.wait_for(down)).await.unwrap();
    growing.abandon("nobody takes it");
    within("idle link", link.wait_for(|state| *state == LinkState::Idle)).await.unwrap();
}
