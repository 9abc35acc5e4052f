//! How far the run is, as the run itself says it: the stage, and how much of it is done.

use crate::news::{News, Topic};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

const TOPIC: Topic = "now";

/// Where the run leaves word. Clones share it. Leaving word is one lock, whoever watches.
#[derive(Clone, Debug)]
pub struct Live {
    now: Arc<Mutex<Now>>,
    news: News,
}

/// How far the run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Now {
    /// What is being done; empty before the run says anything.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: usize,
    /// Of how much.
    pub total: usize,
    /// How the run has ended, once it has.
    pub ended: Option<&'static str>,
}

impl Live {
    pub(crate) fn new(news: News) -> Self {
        Self { now: Arc::default(), news }
    }

    /// `done` of `total` in `stage`.
    pub fn at(&self, stage: &'static str, done: usize, total: usize) {
        self.change(|now| *now = Now { stage, done, total, ended: None });
    }

    /// The run is over, `how` in a word or two; viewers are told at once.
    pub fn end(&self, how: &'static str) {
        self.change(|now| now.ended = Some(how));
        self.tell();
    }

    /// Puts up what was said last.
    pub(crate) fn tell(&self) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.news.tell(TOPIC, &now);
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
