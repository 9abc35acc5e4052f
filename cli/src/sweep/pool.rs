//! Runs side by side.

use crate::interrupt;
use crate::output::say;
use crate::sweep::attempt::{Ended, attempt};
use crate::sweep::cost::CostRecord;
use crate::sweep::plan::PlannedRun;
use anyhow::Result;
use ddpo_rollout::causes::one_line;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The end of all runs.
#[derive(Debug, Default)]
pub struct Ends {
    /// Runs that failed: name and reason.
    pub failed: Vec<(String, String)>,
    /// Whether the sweep was asked to stop.
    pub interrupted: bool,
}

/// Trains the runs that are not finished, `jobs` at a time. The thread that starts a child also waits for it,
/// because the kernel kills a child when the thread that started it ends.
pub fn train(runs: &[PlannedRun], jobs: usize) -> Result<Ends> {
    let open: Vec<&PlannedRun> =
        runs.iter().filter_map(|run| is_open(run).transpose()).collect::<Result<_>>()?;
    let done = runs.len() - open.len();
    say(&format!("{} runs, {done} already finished, {jobs} side by side", runs.len()));
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(done));
    let ends = Mutex::new(Ends::default());
    let work = || {
        while let Some(run) = open.get(next.fetch_add(1, Ordering::SeqCst)) {
            if interrupt::requested() {
                break;
            }
            let ended =
                attempt(run).unwrap_or_else(|error| Ended::Failed(one_line(error.as_ref())));
            match ended {
                Ended::Finished => {
                    let finished = finished.fetch_add(1, Ordering::SeqCst) + 1;
                    say(&format!("{} finished ({finished} of {})", run.name, runs.len()));
                }
                Ended::Interrupted => say(&format!("{} stopped", run.name)),
                Ended::Failed(reason) => {
                    say(&format!("{} failed", run.name));
                    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.failed.push((run.name.clone(), reason));
                }
            }
        }
    };
    thread::scope(|scope| (0..jobs.min(open.len())).for_each(|_| drop(scope.spawn(work))));
    let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Ends { interrupted: interrupt::requested(), ..ends })
}

/// Returns the run unless it is finished.
fn is_open(run: &PlannedRun) -> Result<Option<&PlannedRun>> {
    let finished = CostRecord::read(&run.folder)?.finished;
    Ok((!finished).then_some(run))
}
