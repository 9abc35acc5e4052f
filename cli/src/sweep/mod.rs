//! `ddpo sweep`: trains a table of settings with several seeds, and measures what each setting reaches.

mod attempt;
mod cost;
mod earlier;
mod file;
mod plan;
mod pool;
mod results;

use crate::arguments::SweepCommand;
use crate::interrupt;
use crate::output::say;
use anyhow::{Context, Result, bail};
use ddpo_run::lock::RunLock;
use file::SweepFile;
use plan::PlannedRun;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

/// Runs the command.
pub fn run(command: &SweepCommand) -> Result<ExitCode> {
    let file = SweepFile::read(&command.file, &command.seeds)?;
    let out = command.out.clone().unwrap_or_else(|| default_folder(&file));
    let runs = plan::runs(&file, &out, &command.only)?;
    earlier::check(&runs, &file.path)?;
    std::fs::create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
    let _lock = RunLock::take(&out)?;
    interrupt::install()?;
    let ends = pool::train(&runs, command.jobs.unwrap_or_else(|| side_by_side(&runs)))?;
    if ends.interrupted {
        say("stopped; run the same command again to continue");
        return Ok(ExitCode::from(interrupt::STATUS));
    }
    let record = results::measure(&file, &runs)?;
    let path = results::write(&record, &out)?;
    results::show(&record);
    say(&format!("\ntable  {}", path.display()));
    say(&format!("hint: ddpo compare {} draws the fronts", out.display()));
    if ends.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let told = ends.failed.iter().map(|(name, reason)| format!("{name}: {reason}"));
    bail!(
        "{} of {} runs failed; {}; hint: each run's folder has {}; run the same command again to continue",
        ends.failed.len(),
        runs.len(),
        told.collect::<Vec<_>>().join("; "),
        attempt::LOG
    )
}

/// Returns `runs/NAME` for the file NAME.toml.
fn default_folder(file: &SweepFile) -> PathBuf {
    PathBuf::from("runs").join(file.path.file_stem().unwrap_or_default())
}

/// Returns how many runs the cores of the machine are enough for, at least one.
fn side_by_side(runs: &[PlannedRun]) -> usize {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let threads = runs.iter().filter_map(|run| run.settings.threads).max().unwrap_or(1);
    (cores / threads).max(1)
}
