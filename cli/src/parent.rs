//! Ends this process when the process that started it is killed.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Has the kernel kill this process when its parent, the process `parent`, ends.
///
/// # Errors
/// If `parent` has ended already.
pub fn end_with(parent: u32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("--parent")?;
    let found = getppid().map(Pid::as_raw_pid);
    if found.and_then(|found| u32::try_from(found).ok()) != Some(parent) {
        bail!("--parent = {parent}: expected the process that started this one");
    }
    Ok(())
}
