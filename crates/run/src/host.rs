//! The program that a run is part of, and how a run ends.

use crate::progress::Progress;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or the divergence passed `kl_stop`.
    Finished,
    /// The run was asked to stop.
    Interrupted,
}

/// The program that a run is part of.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Receives the progress of the run.
    pub progress: &'a dyn Progress,
    /// Returns whether the run was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// The command that resumes a run, without `--resume`.
    pub command: &'a str,
}
