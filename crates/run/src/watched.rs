//! Progress of a run, copied to the live page.

use crate::host::Outcome;
use crate::metrics::EpochMetrics;
use crate::progress::Progress;
use ddpo_dashboard::now::Live;

/// Forwards progress to `inner` and to the live page, if there is one.
pub struct Watched<'a> {
    /// The display that always receives the progress.
    pub inner: &'a dyn Progress,
    /// The live page.
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

/// Shows on the live page how the run ended.
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
