//! Trains an open run to its end.

use crate::epochs::Epochs;
use crate::error::RunError;
use crate::host::{Host, Outcome};
use crate::open::OpenRun;
use crate::rollouts::Rollouts;
use crate::summary;

/// Trains an open run to its end, with trajectories from `rollouts`.
///
/// # Errors
/// [`RunError`] by stage. Saved checkpoints stay, and the run can resume from the last one.
pub fn train(
    mut run: OpenRun<'_>,
    rollouts: &mut dyn Rollouts,
    host: &Host<'_>,
) -> Result<Outcome, RunError> {
    // After loading, so that a model that cannot be loaded leaves no folder behind.
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
