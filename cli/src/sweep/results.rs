//! The table of a sweep: on the terminal, and as `sweep.json`.

use crate::output::say;
use crate::sweep::cost::CostRecord;
use crate::sweep::file::SweepFile;
use crate::sweep::plan::PlannedRun;
use anyhow::{Context, Result};
use ddpo_files::write_file;
use ddpo_report::gallery::Gallery;
use ddpo_report::number::number;
use ddpo_report::outcome::{Outcome, stages};
use ddpo_report::run::Run;
use ddpo_report::sweep::{
    ArmRecord, Cost, RunRecord, SWEEP, Spread, Spreads, SweepRecord, TaskRecord,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Measures the finished runs.
///
/// # Errors
/// A file of a run that cannot be read, or an unknown measure.
pub fn measure(file: &SweepFile, runs: &[PlannedRun]) -> Result<SweepRecord> {
    let mut tasks: BTreeMap<String, TaskRecord> = BTreeMap::new();
    for run in runs {
        let cost = CostRecord::read(&run.folder)?;
        if !cost.finished {
            continue;
        }
        let measure = file.tasks.get(&run.task).and_then(|task| task.measure.clone());
        let record = record(run, measure.as_deref(), cost)?;
        let task = tasks.entry(run.task.clone());
        let task = task.or_insert_with(|| TaskRecord { measure, arms: BTreeMap::new() });
        add(task, run, record)?;
    }
    Ok(SweepRecord {
        seeds: file.seeds.clone(),
        evaluation_samples: file.evaluation_samples,
        tasks,
    })
}

/// Measures one run.
fn record(run: &PlannedRun, measure: Option<&str>, cost: CostRecord) -> Result<RunRecord> {
    let read = Run::read(&run.folder)?;
    let stages = stages(&read, &Gallery::of_grids(&read)?, measure)?;
    let outcome = Outcome::of(&stages).context("a run has at least two stages")?;
    let cost = Cost { seconds: cost.seconds, cpu_minutes: cost.cpu_seconds / 60.0 };
    Ok(RunRecord { run: run.name.clone(), seed: run.seed, outcome, cost: Some(cost) })
}

fn add(task: &mut TaskRecord, run: &PlannedRun, record: RunRecord) -> Result<()> {
    let mut runs = task.arms.remove(&run.arm).map(|arm| arm.runs).unwrap_or_default();
    runs.push(record);
    let spreads = Spreads::of(&runs).context("an arm has a run")?;
    let arm = ArmRecord { settings: run.changed.clone(), spreads, runs };
    task.arms.insert(run.arm.clone(), arm);
    Ok(())
}

/// Writes `sweep.json` and returns its path.
///
/// # Errors
/// A file that cannot be written.
pub fn write(record: &SweepRecord, out: &Path) -> Result<PathBuf> {
    let path = out.join(SWEEP);
    write_file(&path, (serde_json::to_string_pretty(record)? + "\n").as_bytes())?;
    Ok(path)
}

/// The columns of the table.
const HEADING: [&str; 7] =
    ["arm", "before", "after", "queries", "seconds", "CPU-minutes", "diversity kept"];

/// Prints the table of every task.
pub fn show(record: &SweepRecord) {
    for (name, task) in &record.tasks {
        let measure = task.measure.as_deref().unwrap_or("reward");
        say(&format!("\n{name} ({measure}): median (smallest to largest)"));
        let mut rows = vec![HEADING.map(str::to_owned)];
        rows.extend(task.arms.iter().map(|(name, arm)| row(name, &arm.spreads)));
        let widths: Vec<usize> = (0..HEADING.len())
            .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
            .collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            say(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

fn row(name: &str, spreads: &Spreads) -> [String; 7] {
    let Spreads { before, after, queries, kept, seconds, cpu_minutes } = spreads;
    let time = |spread: &Option<Spread>| {
        spread.as_ref().map(|spread| range(spread, number)).unwrap_or_default()
    };
    let [before, after, kept] = [before, after, kept].map(|spread| range(spread, number));
    let queries = range(queries, |value| format!("{value:.0}"));
    [name.into(), before, after, queries, time(seconds), time(cpu_minutes), kept]
}

/// Returns the median, and the smallest and largest value if they differ as text.
fn range(spread: &Spread, text: impl Fn(f64) -> String) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(text);
    if min == max { median } else { format!("{median} ({min} to {max})") }
}
