//! Brings the news up to date while somebody watches, each part at its own pace. Pictures and curves are
//! made on threads where that may take its time.

use crate::films::{Films, Sight};
use crate::fleet::{Fleet, Member, ordered};
use crate::folder::Folder;
use crate::news::{News, Topic};
use crate::now::Live;
use crate::peers::Peers;
use crate::samples::Gallery;
use ddpo_inspector::board::Board;
use ddpo_report::page::live::Parts;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two pictures of a moving trajectory: with [`PLACES`](crate::films::PLACES) places at most
/// eight pictures a second.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at the fleet, and longest time that one takes.
const FLEET: Duration = Duration::from_secs(2);
/// Between two looks at the folder and the last samples.
const LOOK: Duration = Duration::from_secs(2);
/// Curves take at most this part of one processor: a long run's take longer to draw, and are drawn less
/// often.
const SHARE: u32 = 50;

const FILMS: [Topic; crate::films::PLACES] = ["film-0", "film-1", "film-2", "film-3"];

/// What is painted.
pub struct Subject {
    /// The run's folder.
    pub folder: PathBuf,
    /// The process's own trajectories.
    pub board: Board,
    /// Who works on the run.
    pub fleet: Arc<dyn Fleet>,
    /// Services that are asked for what they do.
    pub peers: Peers,
    /// How far the run is.
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

/// Paints for ever: nothing while nobody watches.
pub async fn paint(subject: Subject, news: News) {
    loop {
        news.watched().await;
        tokio::select! {
            () = news.unwatched() => {}
            () = stage(&subject.live) => {}
            () = curves(&subject, &news) => {}
            () = samples(&subject.board, &news) => {}
            () = fleet(&subject, &news) => {}
            () = films(&subject, &news) => {}
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
            // A file that is being replaced may be missed once; the next look finds it.
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
            // What a service says of itself is more than what is known of it here.
            let told = |known: &Member, peer: &Member| {
                peer.name == known.name || (known.name.is_empty() && peer.role == known.role)
            };
            members.retain(|known| !peers.iter().any(|peer| told(known, peer)));
            members.extend(peers);
            news.tell("fleet", &ordered(members));
        }
    }
}

async fn films(subject: &Subject, news: &News) {
    let films = Arc::new(Mutex::new(Films::default()));
    let see = |sight| lock(&films).note(sight, Instant::now());
    tokio::join!(gather(subject, &films), subject.peers.watch(&see), show(&films, news));
}

fn lock(films: &Mutex<Films>) -> MutexGuard<'_, Films> {
    // Films are for show; one that a panic has left half changed is gone soon.
    films.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what becomes of the process's own trajectories. Where others are watched as they draw, these
/// only bring what comes later: the reward.
async fn gather(subject: &Subject, films: &Mutex<Films>) {
    let mut board = subject.board.watch();
    loop {
        match board.recv().await {
            Ok(record) => {
                let (sight, now) = (Sight::of(record), Instant::now());
                match subject.peers.is_empty() {
                    true => lock(films).note(sight, now),
                    false => drop(lock(films).follow(sight, now)),
                }
            }
            // What was missed is not shown.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn show(films: &Arc<Mutex<Films>>, news: &News) {
    let mut ticks = every(TICK);
    loop {
        ticks.tick().await;
        let films = Arc::clone(films);
        let next = move || lock(&films).tick(Instant::now());
        for (place, shot) in tokio::task::spawn_blocking(next).await.unwrap_or_default() {
            news.tell(FILMS[place], &shot);
        }
    }
}

fn every(pace: Duration) -> tokio::time::Interval {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
