//! Updates the topics while the page has viewers, each topic at a separate rate. Pictures and curves
//! are drawn on blocking threads.

use crate::fleet::{Fleet, Member, ordered};
use crate::folder::Folder;
use crate::news::{News, Topic};
use crate::now::Live;
use crate::peers::Peers;
use crate::playback::{Playback, Snapshot};
use crate::samples::Gallery;
use ddpo_inspector::board::Board;
use ddpo_report::page::live::Parts;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Time between two pictures of a slot: with [`SLOTS`](crate::playback::SLOTS) slots at most eight
/// pictures per second.
const TICK: Duration = Duration::from_millis(500);
/// Time between two queries of the fleet, and time limit of a query.
const FLEET: Duration = Duration::from_secs(2);
/// Time between two checks of the folder and of the last samples.
const LOOK: Duration = Duration::from_secs(2);
/// Drawing the curves uses at most 1 / `SHARE` of one processor: curves of long runs take longer and
/// are drawn less often.
const SHARE: u32 = 50;

const PLAYBACK: [Topic; crate::playback::SLOTS] =
    ["playback-0", "playback-1", "playback-2", "playback-3"];

/// The sources of the topics.
pub struct Subject {
    /// The run's folder.
    pub folder: PathBuf,
    /// The process's own trajectories.
    pub board: Board,
    /// The services of the run.
    pub fleet: Arc<dyn Fleet>,
    /// Services whose Inspectors are queried.
    pub peers: Peers,
    /// Progress of the run.
    pub live: Live,
}

/// The parts of the page that come from the folder.
#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    sub: &'a str,
    head: &'a str,
    images: &'a str,
    training: &'a str,
}

/// Updates the topics forever, but only while the page has viewers.
pub async fn paint(subject: Subject, news: News) {
    loop {
        news.watched().await;
        tokio::select! {
            () = news.unwatched() => {}
            () = stage(&subject.live) => {}
            () = curves(&subject, &news) => {}
            () = samples(&subject.board, &news) => {}
            () = fleet(&subject, &news) => {}
            () = playback(&subject, &news) => {}
        }
    }
}

async fn stage(live: &Live) {
    let mut ticks = every(TICK);
    loop {
        ticks.tick().await;
        live.tell();
    }
}

async fn curves(subject: &Subject, news: &News) {
    let folder = Arc::new(Mutex::new(Folder::new(subject.folder.clone())));
    loop {
        let began = Instant::now();
        let folder = Arc::clone(&folder);
        let look = move || folder.lock().unwrap_or_else(PoisonError::into_inner).look();
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(Some(parts))) => tell_parts(news, &parts),
            Ok(Ok(None)) | Err(_) => {}
            // A file may be missing while it is replaced; the next check finds it.
            Ok(Err(error)) => tracing::debug!(%error, "the page cannot show the run's folder"),
        }
        tokio::time::sleep(LOOK.max(began.elapsed() * SHARE)).await;
    }
}

fn tell_parts(news: &News, parts: &Parts) {
    let Parts { title, sub, head, images, training } = parts;
    news.tell("run", &Shown { title, sub, head, images, training });
}

async fn samples(board: &Board, news: &News) {
    let gallery = Arc::new(Mutex::new(Gallery::default()));
    let mut ticks = every(LOOK);
    loop {
        ticks.tick().await;
        let (gallery, board) = (Arc::clone(&gallery), board.clone());
        let look = move || gallery.lock().unwrap_or_else(PoisonError::into_inner).look(&board);
        if let Ok(Some(samples)) = tokio::task::spawn_blocking(look).await {
            news.tell("samples", &samples);
        }
    }
}

async fn fleet(subject: &Subject, news: &News) {
    let mut ticks = every(FLEET);
    loop {
        ticks.tick().await;
        let asked = async { tokio::join!(subject.fleet.members(), subject.peers.members()) };
        if let Ok((mut members, peers)) = timeout(FLEET, asked).await {
            // The report of a service replaces the learner's information about it.
            let told = |known: &Member, peer: &Member| {
                peer.name == known.name || (known.name.is_empty() && peer.role == known.role)
            };
            members.retain(|known| !peers.iter().any(|peer| told(known, peer)));
            members.extend(peers);
            news.tell("fleet", &ordered(members));
        }
    }
}

async fn playback(subject: &Subject, news: &News) {
    let playback = Arc::new(Mutex::new(Playback::default()));
    let see = |snapshot| lock(&playback).note(snapshot, Instant::now());
    tokio::join!(gather(subject, &playback), subject.peers.watch(&see), show(&playback, news));
}

fn lock(playback: &Mutex<Playback>) -> MutexGuard<'_, Playback> {
    // A panic may leave a slot half-updated, but the slot is replaced soon.
    playback.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the trajectories of this process. If other services report their trajectories, the
/// records of this process only add the reward.
async fn gather(subject: &Subject, playback: &Mutex<Playback>) {
    let mut board = subject.board.watch();
    loop {
        match board.recv().await {
            Ok(record) => {
                let (snapshot, now) = (Snapshot::of(record), Instant::now());
                if subject.peers.is_empty() {
                    lock(playback).note(snapshot, now);
                } else {
                    drop(lock(playback).follow(snapshot, now));
                }
            }
            // Missed changes are not shown.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn show(playback: &Arc<Mutex<Playback>>, news: &News) {
    let mut ticks = every(TICK);
    loop {
        ticks.tick().await;
        let playback = Arc::clone(playback);
        let next = move || lock(&playback).tick(Instant::now());
        for (slot, frame) in tokio::task::spawn_blocking(next).await.unwrap_or_default() {
            news.tell(PLAYBACK[slot], &frame);
        }
    }
}

fn every(pace: Duration) -> tokio::time::Interval {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
