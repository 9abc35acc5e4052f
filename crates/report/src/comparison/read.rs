//! Reads the folders of sweeps and of single runs, and measures their runs.

use crate::best_of::{BestOf, best_of};
use crate::comparison::data::{ArmComparison, Comparison, MeasuredRun, TaskComparison};
use crate::comparison::front::on_front;
use crate::error::ReportError;
use crate::gallery::Gallery;
use crate::outcome::{Outcome, Stage, position, stages};
use crate::run::Run;
use crate::statistics::{quantile, sorted};
use crate::sweep::{Cost, RunRecord, SWEEP, Spreads, SweepRecord};
use std::path::{Path, PathBuf};

/// One run with its place in the comparison.
struct Entry {
    task: Key,
    arm: String,
    unit: String,
    run: MeasuredRun,
    best_of_n: Vec<BestOf>,
}

/// The task that a run belongs to.
#[derive(Clone, PartialEq)]
struct Key {
    name: String,
    reward: String,
    measure: Option<String>,
}

/// Reads sweeps and single runs. With several sweeps, the name of an arm begins with that of its folder. A
/// single run joins the first task of a sweep that has its reward.
///
/// # Errors
/// [`ReportError`] names the folder or the file.
pub fn read(folders: &[PathBuf]) -> Result<Comparison, ReportError> {
    let (sweeps, singles): (Vec<_>, Vec<_>) =
        folders.iter().partition(|folder| folder.join(SWEEP).is_file());
    let mut entries = Vec::new();
    for folder in &sweeps {
        let prefix = if sweeps.len() > 1 { format!("{}/", shown(folder)) } else { String::new() };
        entries.extend(of_sweep(folder, &prefix)?);
    }
    for folder in singles {
        let run = Run::read(folder)?;
        let reward = run.reward();
        let task =
            entries.iter().map(|entry: &Entry| &entry.task).find(|task| task.reward == reward);
        let own = || Key { name: reward.clone(), reward: reward.clone(), measure: None };
        let task = task.cloned().unwrap_or_else(own);
        entries.push(entry(&run, task, shown(folder), None)?);
    }
    Ok(grouped(entries))
}

/// Returns a folder as it was named, without the slash at its end.
fn shown(folder: &Path) -> String {
    let text = folder.display().to_string();
    text.trim_end_matches('/').to_owned()
}

fn of_sweep(folder: &Path, prefix: &str) -> Result<Vec<Entry>, ReportError> {
    let mut entries = Vec::new();
    for (name, task) in SweepRecord::read(folder)?.tasks {
        for (arm, record) in task.arms {
            for one in record.runs {
                let run = Run::read(&folder.join(&one.run))?;
                let measure = task.measure.clone();
                let key = Key { name: name.clone(), reward: run.reward(), measure };
                entries.push(entry(&run, key, format!("{prefix}{arm}"), one.cost)?);
            }
        }
    }
    Ok(entries)
}

/// Measures one run.
fn entry(run: &Run, task: Key, arm: String, cost: Option<Cost>) -> Result<Entry, ReportError> {
    let gallery = Gallery::of_grids(run)?;
    let measure = task.measure.as_deref();
    let stages = stages(run, &gallery, measure)?;
    let few = || ReportError::file(&run.root, "expected at least two evaluations");
    let outcome = Outcome::of(&stages).ok_or_else(few)?;
    let seed = run.number("run_seed").unwrap_or_default() as u64;
    let record = RunRecord { run: run.name(), seed, outcome, cost };
    let best_of_n = position(&gallery, measure)
        .and_then(|at| Some(best_of(gallery.checkpoints.first()?, at)))
        .unwrap_or_default();
    let unit = if measure.is_some() { String::new() } else { run.reward_unit().to_owned() };
    Ok(Entry { task, arm, unit, run: MeasuredRun { record, stages }, best_of_n })
}

/// Groups runs by task and arm.
fn grouped(entries: Vec<Entry>) -> Comparison {
    let mut tasks: Vec<(Key, TaskComparison)> = Vec::new();
    for entry in entries {
        let at = tasks.iter().position(|(key, _)| *key == entry.task).unwrap_or_else(|| {
            tasks.push((entry.task.clone(), new_task(&entry)));
            tasks.len() - 1
        });
        add(&mut tasks[at].1.arms, entry.arm, entry.run);
    }
    let mut tasks: Vec<TaskComparison> = tasks.into_iter().map(|(_, task)| task).collect();
    tasks.iter_mut().for_each(|task| sort(&mut task.arms));
    Comparison { tasks }
}

fn new_task(entry: &Entry) -> TaskComparison {
    let Key { name, reward, measure } = entry.task.clone();
    TaskComparison {
        name,
        reward,
        measure: measure.unwrap_or_else(|| "reward".into()),
        unit: entry.unit.clone(),
        arms: Vec::new(),
        best_of_n: entry.best_of_n.clone(),
    }
}

fn add(arms: &mut Vec<ArmComparison>, name: String, run: MeasuredRun) {
    let at = arms.iter().position(|arm| arm.name == name);
    let mut runs = at.map(|at| arms.remove(at).runs).unwrap_or_default();
    runs.push(run);
    let records: Vec<RunRecord> = runs.iter().map(|run| run.record.clone()).collect();
    if let Some(spreads) = Spreads::of(&records) {
        arms.push(ArmComparison { name, on_front: false, spreads, stages: medians(&runs), runs });
    }
}

/// Sorts arms by their median reward, the highest first, and marks those on the front.
fn sort(arms: &mut [ArmComparison]) {
    arms.sort_by(|one, other| other.spreads.after.median.total_cmp(&one.spreads.after.median));
    let point = |arm: &ArmComparison| (arm.spreads.after.median, arm.spreads.kept.median);
    let found = on_front(&arms.iter().map(point).collect::<Vec<_>>());
    arms.iter_mut().zip(found).for_each(|(arm, on_front)| arm.on_front = on_front);
}

/// Returns the medians over the runs at the epochs that all of them have evaluated.
fn medians(runs: &[MeasuredRun]) -> Vec<Stage> {
    let Some(first) = runs.first() else { return Vec::new() };
    let at = |epoch: u32| {
        let found = runs.iter().map(|run| run.stages.iter().find(|stage| stage.epoch == epoch));
        found.collect::<Option<Vec<&Stage>>>()
    };
    let median = |stages: &[&Stage], value: fn(&Stage) -> f64| {
        quantile(&sorted(&stages.iter().map(|stage| value(stage)).collect::<Vec<_>>()), 0.5)
    };
    let stage = |one: &Stage| {
        let stages = at(one.epoch)?;
        let reward = median(&stages, |stage| stage.reward);
        let kept = median(&stages, |stage| stage.kept);
        Some(Stage { reward, kept, ..*one })
    };
    first.stages.iter().filter_map(stage).collect()
}
