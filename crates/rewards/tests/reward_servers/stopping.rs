//! A request to stop: while a reward opens, waits for a server, or scores.

use crate::reward_server::{Mood, RewardServer};
use crate::{images, lost, open, scoring, until};
use ddpo_rewards::external::server::ServerReward;
use ddpo_rewards::external::server::error::ServerError;
use ddpo_rewards::external::waiting::Waiting;
use ddpo_rewards::{RewardError, RewardModel};
use ddpo_rollout::score::Score;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn waiting_can_be_cancelled() {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let waiting = Waiting::new(
        move |reach| drop(sender.lock().unwrap().send(reach.clone())),
        move || asked.load(Ordering::Relaxed),
    );
    let server = RewardServer::start();
    let reward = open(&[server.url()], waiting.clone()).unwrap();
    drop(server);
    let scores = scoring(reward, images(3));
    lost(&told);
    stop.store(true, Ordering::Relaxed);
    let called_off = Instant::now();
    let error = scores.join().unwrap().1.unwrap_err();
    assert!(error.is_called_off() && error.is_passing(), "{error}");
    // Also while the reward opens.
    let error = open(&["127.0.0.1:1".into()], waiting).map(|_| ()).unwrap_err();
    assert!(matches!(error, ServerError::CalledOff(_)), "{error}");
    assert!(called_off.elapsed() < Duration::from_secs(10));
}

/// A request to stop, which counts how often it was seen.
#[derive(Clone, Default)]
struct Stop {
    wanted: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
}

impl Stop {
    fn now(&self) -> Instant {
        self.wanted.store(true, Ordering::Relaxed);
        Instant::now()
    }

    fn is_asked(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        self.seen.fetch_add(usize::from(wanted), Ordering::Relaxed);
        wanted
    }
}

/// A call in progress: it ends with the reward and its scores.
type Call = thread::JoinHandle<(ServerReward, Result<Vec<Score>, RewardError>)>;

/// Opens a server's reward that is cancelled by the returned stop, and starts a call that the server
/// does not answer.
fn unanswered(server: &RewardServer, waiting: impl FnOnce(Waiting) -> Waiting) -> (Stop, Call) {
    let stop = Stop::default();
    let asked = stop.clone();
    let stopped = Waiting::new(|_| (), move || asked.is_asked());
    let reward = open(&[server.url()], waiting(stopped)).unwrap();
    server.state().mood = Mood::Silent;
    let scores = scoring(reward, images(3));
    until("a batch", || !server.state().batches.is_empty());
    (stop, scores)
}

#[test]
fn a_call_in_progress_is_cancelled_promptly() {
    let server = RewardServer::start();
    let (stop, scores) = unanswered(&server, |waiting| waiting);
    let called_off = stop.now();
    let (mut reward, scores) = scores.join().unwrap();
    let error = scores.unwrap_err();
    assert!(error.is_called_off() && error.is_passing(), "{error}");
    // The server's time limit is 20 seconds.
    assert!(called_off.elapsed() < Duration::from_secs(5), "{:?}", called_off.elapsed());
    // Batches that still wait fail at once.
    assert!(reward.score(&images(1)).unwrap_err().is_called_off());
    assert!(called_off.elapsed() < Duration::from_secs(6), "{:?}", called_off.elapsed());
}

#[test]
fn work_that_has_to_be_finished_goes_on_for_a_while() {
    let server = RewardServer::start();
    let (stop, scores) = unanswered(&server, |waiting| waiting.finishing(|| true));
    let called_off = stop.now();
    // It is looked for every tenth of a second; other work ends after one second.
    until("the stop to be ignored", || stop.seen.load(Ordering::Relaxed) > 20);
    assert!(!scores.is_finished());
    assert!(scores.join().unwrap().1.unwrap_err().is_called_off());
    assert!(called_off.elapsed() < Duration::from_secs(10), "{:?}", called_off.elapsed());
}

#[test]
fn opening_is_cancelled_before_its_time_limit() {
    // A listener that accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", silent.local_addr().unwrap());
    let waiting = Waiting::new(|_| (), || true);
    let begun = Instant::now();
    let error = open(&[address], waiting).map(|_| ()).unwrap_err();
    assert!(matches!(error, ServerError::CalledOff(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
