//! The interface that a run reports its progress through.

use crate::metrics::EpochMetrics;

/// Receives the progress of a run. Implemented by terminals, logs and tests.
pub trait Progress {
    /// Reports that `done` of `total` items of `stage` are finished.
    fn at(&self, stage: &'static str, done: usize, total: usize);

    /// Shows a line permanently.
    fn say(&self, line: &str);

    /// Reports the metrics of a finished epoch; the epoch's line follows by `say`.
    fn epoch(&self, _metrics: &EpochMetrics) {}

    /// Shows a line that is not part of the run's output, such as the progress of a download.
    fn aside(&self, line: &str);

    /// Reports the end of the run.
    fn finish(&self);
}
