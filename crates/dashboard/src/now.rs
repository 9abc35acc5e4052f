//! Progress of the run: the stage and its completed share.

use crate::news::{News, Topic};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

const TOPIC: Topic = "now";

/// Receives the progress of the run. Clones share it. An update costs one lock.
#[derive(Clone, Debug)]
pub struct Live {
    now: Arc<Mutex<Now>>,
    news: News,
}

/// Progress of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Now {
    /// Stage; empty before the first report.
    pub stage: &'static str,
    /// Units that are done.
    pub done: usize,
    /// Total units.
    pub total: usize,
    /// How the run ended, if it has.
    pub ended: Option<&'static str>,
}

impl Live {
    pub(crate) fn new(news: News) -> Self {
        Self { now: Arc::default(), news }
    }

    /// Reports that `done` of `total` units of `stage` are done.
    pub fn at(&self, stage: &'static str, done: usize, total: usize) {
        self.change(|now| *now = Now { stage, done, total, ended: None });
    }

    /// Reports the end of the run to viewers at once.
    pub fn end(&self, how: &'static str) {
        self.change(|now| now.ended = Some(how));
        self.tell();
    }

    /// Publishes the last report.
    pub(crate) fn tell(&self) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.news.tell(TOPIC, &now);
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
