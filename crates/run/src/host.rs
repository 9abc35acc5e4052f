//! The program that a run is part of, and how a run ends.

use crate::progress::Progress;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or the divergence's budget is used up.
    Finished,
    /// Somebody asked to stop.
    Interrupted,
}

/// The program that a run is part of.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Shows how far the run is.
    pub progress: &'a dyn Progress,
    /// Whether somebody has asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// The command that goes on with a run, up to `--resume`.
    pub command: &'a str,
}
