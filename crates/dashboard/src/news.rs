//! The latest of everything that the page shows, encoded once for all who watch.
//!
//! Each topic has one place, and what is new takes the place of what was there. So a viewer that does
//! not keep up misses what was in between and gets the latest of each topic when it reads again; nothing
//! is ever kept for it, and nobody waits for it.

use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Viewers at one time. Each has a connection, and its share of what is sent.
pub const MOST_VIEWERS: usize = 64;

/// What a message is about, which is also the name of its event.
pub type Topic = &'static str;

/// The board of news. Clones share it.
#[derive(Clone, Debug)]
pub struct News {
    latest: Arc<watch::Sender<Latest>>,
    viewers: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Latest {
    changes: u64,
    messages: BTreeMap<Topic, Message>,
}

#[derive(Debug)]
struct Message {
    change: u64,
    event: Bytes,
}

/// The place of a viewer, given back when it is dropped.
#[derive(Debug)]
pub struct Viewer {
    news: News,
    latest: watch::Receiver<Latest>,
    seen: u64,
}

impl Default for News {
    fn default() -> Self {
        Self {
            latest: Arc::new(watch::Sender::new(Latest::default())),
            viewers: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl News {
    /// Puts up `message` under its topic, unless it says what stands there already.
    pub fn tell<T: Serialize>(&self, topic: Topic, message: &T) {
        // What cannot be encoded is an error of the program; the page then lacks that part.
        let Ok(json) = serde_json::to_string(message) else { return };
        let event = Bytes::from(format!("event: {topic}\ndata: {json}\n\n"));
        self.latest.send_if_modified(|latest| {
            if latest.messages.get(topic).is_some_and(|message| message.event == event) {
                return false;
            }
            latest.changes += 1;
            let change = latest.changes;
            latest.messages.insert(topic, Message { change, event });
            true
        });
    }

    /// A place for one more viewer; none where all are taken.
    #[must_use]
    pub fn admit(&self) -> Option<Viewer> {
        let admitted = self.viewers.send_if_modified(|viewers| {
            let free = *viewers < MOST_VIEWERS;
            *viewers += usize::from(free);
            free
        });
        let latest = self.latest.subscribe();
        admitted.then(|| Viewer { news: self.clone(), latest, seen: 0 })
    }

    /// Ends once somebody watches.
    pub async fn watched(&self) {
        self.viewers_are(|viewers| viewers > 0).await;
    }

    /// Ends once nobody does.
    pub async fn unwatched(&self) {
        self.viewers_are(|viewers| viewers == 0).await;
    }

    async fn viewers_are(&self, wanted: impl Fn(usize) -> bool) {
        // The sender is `self`, so that this cannot fail.
        let _ = self.viewers.subscribe().wait_for(|viewers| wanted(*viewers)).await;
    }
}

impl Viewer {
    /// Waits for something that this viewer has not seen, and gives it: the latest of each topic that
    /// has changed.
    pub async fn next(&mut self) -> Vec<Bytes> {
        let news = self.latest.wait_for(|latest| latest.changes > self.seen).await;
        let Ok(latest) = news else { return Vec::new() };
        let new = latest.messages.values().filter(|message| message.change > self.seen);
        let events = new.map(|message| message.event.clone()).collect();
        self.seen = latest.changes;
        events
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.news.viewers.send_modify(|viewers| *viewers -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_viewer_that_was_away_finds_the_latest_of_each_topic() {
        let news = News::default();
        news.tell("a", &1);
        let mut viewer = news.admit().unwrap();
        assert_eq!(viewer.next().await, ["event: a\ndata: 1\n\n"]);
        for number in 2..1000 {
            news.tell("a", &number);
            news.tell("b", &"same");
        }
        assert_eq!(
            viewer.next().await,
            ["event: a\ndata: 999\n\n", "event: b\ndata: \"same\"\n\n"]
        );
    }

    #[tokio::test]
    async fn messages_are_encoded_once_for_all() {
        let news = News::default();
        let mut viewers = [news.admit().unwrap(), news.admit().unwrap()];
        news.tell("a", &"text");
        let [one, other] = &mut viewers;
        let (one, other) = (one.next().await, other.next().await);
        assert_eq!(one[0].as_ptr(), other[0].as_ptr());
    }

    #[tokio::test]
    async fn places_are_few_and_come_back() {
        let news = News::default();
        let viewers: Vec<Viewer> = (0..MOST_VIEWERS).map(|_| news.admit().unwrap()).collect();
        assert!(news.admit().is_none());
        news.watched().await;
        drop(viewers);
        news.unwatched().await;
        assert!(news.admit().is_some());
    }
}
