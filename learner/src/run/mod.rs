//! One run of DDPO, epoch by epoch: sample, score, update, evaluate, save.
//!
//! The loop is the same whether sampler and reward model work in this process (`ddpo train`) or in
//! others (`ddpo-learner`): trajectories come in by the port [`rollouts::Rollouts`]. A run is
//! opened first, which loads everything and writes nothing, and then trained.

mod epochs;
pub mod error;
pub mod evaluation;
pub mod folder;
mod leftovers;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod open;
pub mod pictures;
pub mod place;
pub mod progress;
pub mod resume;
pub mod rollouts;
pub(crate) mod shares;
mod summary;
pub mod table;
pub mod watched;

use crate::run::epochs::Epochs;
use crate::run::error::RunError;
use crate::run::open::OpenRun;
use crate::run::progress::Progress;
use crate::run::rollouts::Rollouts;

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

/// Trains an open run to its end, with trajectories from `rollouts`.
///
/// # Errors
/// [`RunError`] by stage. What was saved before stays, and the run can be resumed from there.
pub fn train(
    mut run: OpenRun<'_>,
    rollouts: &mut dyn Rollouts,
    host: &Host<'_>,
) -> Result<Outcome, RunError> {
    // Only now: a model that cannot be loaded leaves no folder behind.
    run.begin()?;
    host.progress.say(&summary::opening(run.plan, run.folder, run.epoch));
    let mut epochs = Epochs::new(run, rollouts, host);
    let outcome = epochs.run()?;
    host.progress.finish();
    let closing = match outcome {
        Outcome::Finished => epochs.closing(),
        Outcome::Interrupted => epochs.interrupted(),
    };
    host.progress.say(&closing);
    Ok(outcome)
}
