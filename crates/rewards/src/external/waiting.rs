//! How an external reward waits for servers that do not answer: for how long, how it reports, and
//! how it is cancelled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a run waits for a reward server before it fails.
const PATIENCE: Duration = Duration::from_secs(600);

/// The same while a program starts. It is shorter, because a wrong address is then more likely.
const AT_START: Duration = Duration::from_secs(60);

/// How long a server may take to score one batch.
const ANSWER: Duration = Duration::from_secs(30);

/// A change in the reachability of an external reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No server answers; a message with the servers, the reason and the longest wait.
    Lost(String),
    /// A server answers again; a message with its address.
    Found(String),
}

/// How to wait. Clones share the callbacks.
#[derive(Clone)]
pub struct Waiting {
    /// Longest time without an answer, from the first failed call, before scoring fails.
    pub patience: Duration,
    /// The same while the reward opens.
    pub at_start: Duration,
    /// Longest time for one server to score one batch; then it counts as failed.
    pub answer: Duration,
    tell: Arc<dyn Fn(&Reach) + Send + Sync>,
    stop: Arc<dyn Fn() -> bool + Send + Sync>,
    finish: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Waiting {
    /// Reports every change to `tell`, and stops waiting when `stop` returns true: at once while no
    /// server answers, and after a second for servers that have not finished a batch by then.
    pub fn new(
        tell: impl Fn(&Reach) + Send + Sync + 'static,
        stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            patience: PATIENCE,
            at_start: AT_START,
            answer: ANSWER,
            tell: Arc::new(tell),
            stop: Arc::new(stop),
            finish: Arc::new(|| false),
        }
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sets [`answer`](Self::answer).
    #[must_use]
    pub fn answer_within(self, answer: Duration) -> Self {
        Self { answer, ..self }
    }

    /// While `finish` returns true, goes on even if stopped, as long as batches are answered within
    /// seconds.
    #[must_use]
    pub fn finishing(self, finish: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { finish: Arc::new(finish), ..self }
    }

    pub(crate) fn tell(&self, reach: &Reach) {
        (self.tell)(reach);
    }

    pub(crate) fn is_called_off(&self) -> bool {
        (self.stop)()
    }

    pub(crate) fn is_to_finish(&self) -> bool {
        (self.finish)()
    }
}

impl Default for Waiting {
    /// Reports to the log and is never cancelled.
    fn default() -> Self {
        let tell = |reach: &Reach| match reach {
            Reach::Lost(line) => tracing::warn!("{line}"),
            Reach::Found(line) => tracing::info!("{line}"),
        };
        Self::new(tell, || false)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Waiting");
        shown.field("patience", &self.patience).field("at_start", &self.at_start);
        shown.field("answer", &self.answer);
        shown.finish_non_exhaustive()
    }
}
