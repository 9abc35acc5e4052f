//! What a reward that depends on others does while they do not answer: how long it waits, whom it
//! tells, and who may call it off.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a run waits for a reward server before it ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a program that starts waits for one: what is wrong then is more likely the address.
const AT_START: Duration = Duration::from_secs(60);

/// Whether a reward that depends on others can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody answers; a line that says who, why, and how long it is waited for.
    Lost(String),
    /// Somebody answers again; a line that says who.
    Found(String),
}

/// How to wait. Clones share whom they tell and ask.
#[derive(Clone)]
pub struct Waiting {
    /// Longest time without an answer, from the first call in vain, before scoring fails.
    pub patience: Duration,
    /// The same while the reward is opened.
    pub at_start: Duration,
    tell: Arc<dyn Fn(&Reach) + Send + Sync>,
    stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Waiting {
    /// Tells `tell` of every change, and gives up once `stop` says so.
    pub fn new(
        tell: impl Fn(&Reach) + Send + Sync + 'static,
        stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let (tell, stop) = (Arc::new(tell), Arc::new(stop));
        Self { patience: PATIENCE, at_start: AT_START, tell, stop }
    }

    /// The same with another [`patience`](Self::patience).
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn tell(&self, reach: &Reach) {
        (self.tell)(reach);
    }

    pub(crate) fn is_called_off(&self) -> bool {
        (self.stop)()
    }
}

impl Default for Waiting {
    /// Tells the log, and is not called off.
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
        shown.finish_non_exhaustive()
    }
}
