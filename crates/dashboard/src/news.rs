//! The latest message of each topic of the page, encoded once for all viewers.
//!
//! A new message replaces the last message of its topic. A slow viewer skips messages and gets the
//! latest of each topic when it reads again. Messages are not queued, and no viewer delays others.

use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Maximum number of viewers at one time.
pub const MOST_VIEWERS: usize = 64;

/// A topic, also the name of its event.
pub type Topic = &'static str;

/// The latest messages. Clones share them.
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

/// A viewer. Dropping it frees its slot.
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
    /// Replaces the message of `topic` if it differs.
    pub fn tell<T: Serialize>(&self, topic: Topic, message: &T) {
        // An encoding error is a programming error; the page then lacks that part.
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

    /// Adds a viewer; `None` if [`MOST_VIEWERS`] are connected.
    pub fn admit(&self) -> Option<Viewer> {
        let admitted = self.viewers.send_if_modified(|viewers| {
            let free = *viewers < MOST_VIEWERS;
            *viewers += usize::from(free);
            free
        });
        let latest = self.latest.subscribe();
        admitted.then(|| Viewer { news: self.clone(), latest, seen: 0 })
    }

    /// Returns when at least one viewer is connected.
    pub async fn watched(&self) {
        self.viewers_are(|viewers| viewers > 0).await;
    }

    /// Returns when no viewer is connected.
    pub async fn unwatched(&self) {
        self.viewers_are(|viewers| viewers == 0).await;
    }

    async fn viewers_are(&self, wanted: impl Fn(usize) -> bool) {
        // `self` holds the sender, so this cannot fail.
        let _ = self.viewers.subscribe().wait_for(|viewers| wanted(*viewers)).await;
    }
}

impl Viewer {
    /// Waits for messages that this viewer has not seen, and returns the latest of each topic.
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
    async fn a_slow_viewer_gets_the_latest_of_each_topic() {
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
    async fn viewers_are_bounded_and_free_their_slots() {
        let news = News::default();
        let viewers: Vec<Viewer> = (0..MOST_VIEWERS).map(|_| news.admit().unwrap()).collect();
        assert!(news.admit().is_none());
        news.watched().await;
        drop(viewers);
        news.unwatched().await;
        assert!(news.admit().is_some());
    }
}
