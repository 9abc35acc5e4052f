//! A layer between a training run and the terminal.

use ddpo_run::progress::Progress;

/// Adds to what is told about a training run.
pub type ProgressLayer = for<'p> fn(Box<dyn Progress + 'p>) -> Box<dyn Progress + 'p>;
