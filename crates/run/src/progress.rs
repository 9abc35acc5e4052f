//! What a run tells while it goes on, to whoever shows it.

use crate::metrics::EpochMetrics;

/// Shows how far a run is. A terminal, a log and a test have each their own.
pub trait Progress {
    /// `done` of `total` in `stage`.
    fn at(&self, stage: &'static str, done: usize, total: usize);

    /// A line that stays.
    fn say(&self, line: &str);

    /// An epoch is done; its line follows. For whoever keeps numbers.
    fn epoch(&self, _metrics: &EpochMetrics) {}

    /// A line beside the run's own, such as that of a download.
    fn aside(&self, line: &str);

    /// The run is over.
    fn finish(&self);
}
