//! Rewards from servers: batching, failures, waiting, and invalid answers.

#![allow(clippy::unwrap_used)] // A test may panic.

mod reward_server;
mod stopping;

use ddpo_delivery::uplink::Backoff;
use ddpo_rewards::external::server::error::ServerError;
use ddpo_rewards::external::server::{ServerOptions, ServerReward};
use ddpo_rewards::external::waiting::{Reach, Waiting};
use ddpo_rewards::{RewardError, RewardModel};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardSource, Servers};
use ddpo_rollout::score::Score;
use ddpo_settings::Secret;
use reward_server::{Mood, RewardServer, expected, free_address, redness};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tonic::Code;

/// Time limit for every wait.
const LONGEST: Duration = Duration::from_secs(60);

fn quick() -> ServerOptions {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50) };
    ServerOptions { backoff, scoring: Duration::from_secs(20), ..ServerOptions::default() }
}

/// Waits for a long time and records reports.
fn noting() -> (Waiting, Receiver<Reach>) {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let waiting =
        Waiting::new(move |reach| drop(sender.lock().unwrap().send(reach.clone())), || false);
    (waiting, told)
}

/// Stops waiting almost at once.
fn hasty() -> Waiting {
    let mut waiting = Waiting::default();
    (waiting.patience, waiting.at_start) = (Duration::from_millis(200), Duration::from_millis(200));
    waiting
}

fn lost(told: &Receiver<Reach>) -> String {
    match told.recv_timeout(LONGEST).unwrap() {
        Reach::Lost(line) => line,
        found => panic!("{found:?}"),
    }
}

fn found(told: &Receiver<Reach>) -> String {
    match told.recv_timeout(LONGEST).unwrap() {
        Reach::Found(line) => line,
        lost => panic!("{lost:?}"),
    }
}

fn servers(addresses: &[String]) -> Servers {
    let plain: Vec<&str> = addresses.iter().map(|one| one.trim_start_matches("grpc://")).collect();
    match format!("grpc://{}", plain.join(",")).parse() {
        Ok(RewardSource::Servers(servers)) => servers,
        other => panic!("{addresses:?}: {other:?}"),
    }
}

fn open(addresses: &[String], waiting: Waiting) -> Result<ServerReward, ServerError> {
    ServerReward::open(&servers(addresses), quick(), waiting)
}

fn refusal(address: &str) -> String {
    open(&[address.to_owned()], hasty()).map(|_| ()).unwrap_err().to_string()
}

/// Returns distinct images with sides from 1 to `count`.
fn images(count: usize) -> Vec<RgbImage> {
    let image = |side: usize| {
        let levels = (0..side * side * 3).map(|place| (place * 7 + side * 13) as u8);
        RgbImage::new(side, side, levels.collect()).unwrap()
    };
    (1..=count).map(image).collect()
}

fn scores_of(images: &[RgbImage]) -> Vec<Score> {
    images.iter().map(expected).collect()
}

#[test]
fn keeps_the_order_of_images_and_the_servers_batch_limit() {
    let server = RewardServer::start_at(free_address(), redness(8));
    let mut reward = open(&[server.url()], hasty()).unwrap();
    let described = reward.describe();
    assert_eq!((described.name.as_str(), described.unit.as_str()), ("redness", "levels"));
    assert_eq!(described.components, ["green", "blue"]);
    let images = images(70);
    assert_eq!(reward.score(&images).unwrap(), scores_of(&images));
    assert_eq!(reward.score(&[]).unwrap(), []);
    let sizes: Vec<usize> = server.state().batches.iter().map(|batch| batch.0).collect();
    assert_eq!(sizes, [8, 8, 8, 8, 8, 8, 8, 8, 6]);
}

#[test]
fn requests_stay_below_the_default_size_limit_of_servers() {
    let server = RewardServer::start_at(free_address(), redness(0));
    let mut reward = open(&[server.url()], hasty()).unwrap();
    let images: Vec<RgbImage> =
        (0..10).map(|level| RgbImage::new(700, 900, vec![level; 700 * 900 * 3]).unwrap()).collect();
    assert_eq!(reward.score(&images).unwrap(), scores_of(&images));
    let sizes: Vec<usize> = server.state().batches.iter().map(|batch| batch.0).collect();
    assert_eq!(sizes, [2; 5]);
    // The server's limit is 4 MiB: a larger image is sent alone, and the server rejects it.
    let large = RgbImage::new(1200, 1200, vec![0; 1200 * 1200 * 3]).unwrap();
    let error = reward.score(&[large]).unwrap_err().to_string();
    assert!(error.contains(&server.url()), "{error}");
}

#[test]
fn spreads_images_over_the_servers() {
    let servers = [RewardServer::start(), RewardServer::start()];
    let urls = servers.each_ref().map(RewardServer::url);
    let mut reward = open(&urls, hasty()).unwrap();
    let images = images(40);
    for _ in 0..20 {
        assert_eq!(reward.score(&images).unwrap(), scores_of(&images));
        if servers.iter().all(|server| !server.state().batches.is_empty()) {
            return;
        }
    }
    panic!("one server scored all images");
}

#[test]
fn waits_for_a_server_that_starts_later() {
    let (waiting, told) = noting();
    let address = free_address();
    let url = format!("grpc://{address}");
    let opening = thread::spawn(move || open(&[url], waiting));
    let line = lost(&told);
    let expected = format!("reward server grpc://{address}: Connection refused");
    assert!(line.starts_with(&expected) && line.ends_with("at most 60 s"), "{line}");
    let _server = RewardServer::start_at(address, redness(0));
    opening.join().unwrap().unwrap();
    assert_eq!(found(&told), format!("reward server grpc://{address}: answers again"));
}

#[test]
fn fails_if_no_server_starts_in_time() {
    let error = open(&["127.0.0.1:1".into()], hasty()).map(|_| ()).unwrap_err();
    assert!(error.is_passing());
    let expected = "reward server grpc://127.0.0.1:1: no answer for 0 s; the last attempt: \
                    Connection refused";
    assert!(error.to_string().starts_with(expected), "{error}");
}

/// Scores with `reward` on another thread.
fn scoring(
    mut reward: ServerReward,
    images: Vec<RgbImage>,
) -> thread::JoinHandle<(ServerReward, Result<Vec<Score>, RewardError>)> {
    thread::spawn(move || {
        let scores = reward.score(&images);
        (reward, scores)
    })
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn scoring_continues_when_the_server_returns() {
    let (waiting, told) = noting();
    let server = RewardServer::start();
    let address = server.address;
    let reward = open(&[server.url()], waiting).unwrap();
    let images = images(20);
    // The server ends between calls; the next call notices.
    drop(server);
    let scores = scoring(reward, images.clone());
    lost(&told);
    let server = RewardServer::start_at(address, redness(0));
    let (reward, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images));
    found(&told);
    // The server ends during a call.
    server.state().mood = Mood::Silent;
    let scores = scoring(reward, images.clone());
    until("a batch", || server.state().batches.len() == 2);
    drop(server);
    lost(&told);
    let _server = RewardServer::start_at(address, redness(0));
    let (_, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images));
    found(&told);
}

#[test]
fn moves_the_images_of_a_dead_server_to_the_others() {
    let (waiting, _told) = noting();
    let servers = [RewardServer::start(), RewardServer::start()];
    let reward = open(&servers.each_ref().map(RewardServer::url), waiting).unwrap();
    let [first, second] = servers;
    first.state().mood = Mood::Silent;
    second.serving(false);
    let images = images(20);
    let scores = scoring(reward, images.clone());
    until("a batch", || !first.state().batches.is_empty());
    second.serving(true);
    drop(first);
    let (_, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images));
    assert!(!second.state().batches.is_empty());
}

#[test]
fn finds_a_returned_server_between_calls() {
    let (waiting, told) = noting();
    let server = RewardServer::start();
    let address = server.address;
    let patience = Duration::from_millis(50);
    let mut reward = open(&[server.url()], waiting.patient_for(patience)).unwrap();
    drop(server);
    let error = reward.score(&images(1)).unwrap_err();
    assert!(error.is_passing(), "{error}");
    lost(&told);
    let _server = RewardServer::start_at(address, redness(0));
    found(&told);
    assert_eq!(reward.score(&images(3)).unwrap(), scores_of(&images(3)));
}

#[test]
fn abandons_a_call_after_its_time_limit() {
    let server = RewardServer::start();
    let options = ServerOptions { scoring: Duration::from_millis(200), ..quick() };
    let mut reward = ServerReward::open(&servers(&[server.url()]), options, hasty()).unwrap();
    server.state().mood = Mood::Silent;
    let error = reward.score(&images(2)).unwrap_err();
    assert!(error.is_passing());
    let text = error.to_string();
    assert!(
        text.contains(&server.url()) && text.contains("no answer within 0.2 s; hint: --reward-"),
        "{text}"
    );
    assert!(server.state().batches.len() >= 2, "it was not asked again");
    server.state().mood = Mood::Well;
    assert_eq!(reward.score(&images(2)).unwrap(), scores_of(&images(2)));
}

#[test]
fn rejects_invalid_answers_without_a_retry() {
    let server = RewardServer::start();
    let cases = [
        (Mood::NotANumber, "score 0: expected a finite reward, found NaN"),
        (Mood::Endless, "score 0: expected a finite blue, found inf"),
        (Mood::TooFew, "scores: expected 3, one for each image, found 2"),
        (Mood::TooMany, "scores: expected 3, one for each image, found 4"),
        (Mood::Bare, "score 0: expected 2 components, as Describe names, found 0"),
        (Mood::Refusing(Code::InvalidArgument), "INVALID_ARGUMENT: not like this"),
        (Mood::Refusing(Code::Internal), "INTERNAL: not like this"),
        (Mood::Refusing(Code::Unknown), "UNKNOWN: not like this"),
    ];
    let (waiting, told) = noting();
    let mut reward = open(&[server.url()], waiting).unwrap();
    for (asked, (mood, expected)) in cases.into_iter().enumerate() {
        server.state().mood = mood;
        let error = reward.score(&images(3)).unwrap_err();
        assert_eq!(error.to_string(), format!("reward server {}: {expected}", server.url()));
        assert!(!error.is_passing());
        assert_eq!(error.is_not_finite(), matches!(mood, Mood::NotANumber | Mood::Endless));
        assert_eq!(server.state().batches.len(), asked + 1, "{mood:?}");
    }
    assert!(told.try_recv().is_err());
    server.state().mood = Mood::Well;
    assert_eq!(reward.score(&images(3)).unwrap(), scores_of(&images(3)));
}

#[test]
fn retries_temporary_errors() {
    let server = RewardServer::start();
    let (waiting, told) = noting();
    let reward = open(&[server.url()], waiting).unwrap();
    server.state().mood = Mood::Refusing(Code::Unavailable);
    let scores = scoring(reward, images(3));
    let line = lost(&told);
    assert!(line.contains("not like this"), "{line}");
    server.state().mood = Mood::Well;
    let (_, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images(3)));
}

/// A server that writes `words` to every connection.
fn talker(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut heard = [0; 16];
            // Fails if the client has disconnected already.
            let _ = stream.read(&mut heard).and_then(|_| stream.write_all(words));
            // Closing with unread bytes would reset the connection, and the client might lose the words.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    format!("grpc://{address}")
}

#[test]
fn rejects_servers_that_do_not_speak_grpc_at_once() {
    for words in
        [&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n"]
    {
        let url = talker(words);
        let found = refusal(&url);
        let expected = format!("reward server {url}: expected a gRPC server, found something else");
        assert!(found.starts_with(&expected), "{found}");
    }
}

#[test]
fn rejects_a_server_of_another_service() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (_, health) = tonic_health::server::health_reporter();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let router = tonic::transport::Server::builder().add_service(health);
    runtime.spawn(router.serve_with_incoming(incoming));
    let found = refusal(&url);
    assert!(found.starts_with(&format!("reward server {url}: UNIMPLEMENTED")), "{found}");
    runtime.shutdown_background();
}

#[test]
fn names_servers_with_different_rewards() {
    let first = RewardServer::start();
    let mut other = redness(0);
    other.components.reverse();
    let second = RewardServer::start_at(free_address(), other);
    let found = open(&[first.url(), second.url()], hasty()).map(|_| ()).unwrap_err().to_string();
    let expected = format!(
        "reward server {}: expected \"redness\" in \"levels\" with components [green, blue], as {} \
         says, found \"redness\" in \"levels\" with components [blue, green]",
        second.url(),
        first.url()
    );
    assert_eq!(found, expected);
}

#[test]
fn skips_a_server_whose_reward_changed() {
    let (waiting, told) = noting();
    let server = RewardServer::start();
    let reward = open(&[server.url()], waiting).unwrap();
    server.state().description.name = "greenness".into();
    let scores = scoring(reward, images(3));
    let line = lost(&told);
    assert!(
        line.contains("expected \"redness\"") && line.contains("found \"greenness\""),
        "{line}"
    );
    assert!(server.state().batches.is_empty());
    server.state().description.name = "redness".into();
    let (_, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images(3)));
}

#[test]
fn rejects_malformed_descriptions() {
    let server = RewardServer::start();
    for (name, components, expected) in [
        ("", vec![], "name: expected a value, found none"),
        ("a\nb", vec![], "name: expected printable text, found a control character"),
        ("a", vec!["b", "c", "b"], "components: expected names that differ, found \"b\" twice"),
        ("a", vec!["b"; 257], "components: expected at most 256, found 257"),
    ] {
        server.state().description.name = name.into();
        server.state().description.components = components.into_iter().map(str::to_owned).collect();
        let found = refusal(&server.url());
        assert_eq!(found, format!("reward server {}: {expected}", server.url()));
    }
}

#[test]
fn skips_an_unhealthy_server() {
    let (waiting, told) = noting();
    let server = RewardServer::start();
    let reward = open(&[server.url()], waiting).unwrap();
    server.serving(false);
    let scores = scoring(reward, images(3));
    let line = lost(&told);
    assert!(line.contains("its health is NOT_SERVING"), "{line}");
    assert!(server.state().batches.is_empty());
    server.serving(true);
    let (_, scores) = scores.join().unwrap();
    assert_eq!(scores.unwrap(), scores_of(&images(3)));
}

#[test]
fn sends_the_token_with_every_call() {
    let server = RewardServer::start();
    server.state().token = Some("0123456789abcdef");
    let found = refusal(&server.url());
    let expected = format!("reward server {}: UNAUTHENTICATED: who are you?", server.url());
    assert_eq!(found, expected);
    let options = ServerOptions { token: Some(Secret::new("0123456789abcdef")), ..quick() };
    let mut reward = ServerReward::open(&servers(&[server.url()]), options, hasty()).unwrap();
    assert_eq!(reward.score(&images(3)).unwrap(), scores_of(&images(3)));
}
