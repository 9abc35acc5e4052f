//! A run's progress, which the live page shows too.

use crate::host::Outcome;
use crate::metrics::EpochMetrics;
use crate::progress::Progress;
use ddpo_dashboard::now::Live;

/// Passes on what a run tells, and leaves word for the page where there is one.
pub struct Watched<'a> {
    /// Who is told anyway.
    pub inner: &'a dyn Progress,
    /// The page.
    pub live: Option<&'a Live>,
}

impl Progress for Watched<'_> {
    fn at(&self, stage: &'static str, done: usize, total: usize) {
        if let Some(live) = self.live {
            live.at(stage, done, total);
        }
        self.inner.at(stage, done, total);
    }

    fn say(&self, line: &str) {
        self.inner.say(line);
    }

    fn epoch(&self, metrics: &EpochMetrics) {
        self.inner.epoch(metrics);
    }

    fn aside(&self, line: &str) {
        self.inner.aside(line);
    }

    fn finish(&self) {
        self.inner.finish();
    }
}

/// Tells the page how the run has ended.
pub fn tell_end<E>(live: Option<&Live>, ended: &Result<Outcome, E>) {
    let how = match ended {
        Ok(Outcome::Finished) => "is finished",
        Ok(Outcome::Interrupted) => "was interrupted",
        Err(_) => "has failed",
    };
    if let Some(live) = live {
        live.end(how);
    }
}
