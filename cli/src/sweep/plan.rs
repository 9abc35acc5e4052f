//! The runs of a sweep: every arm with every seed on each of its tasks. All settings are checked before the
//! first run starts, by the code of `ddpo train`.

use crate::sweep::file::{Arm, SweepFile, Task};
use crate::train_command::checked;
use anyhow::{Result, bail};
use ddpo_rollout::causes::one_line;
use ddpo_run::settings::{Resolved, Settings, resolve_values};
use ddpo_settings::environment::variables;
use ddpo_settings::{SettingsError, Source};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Settings that a sweep sets for each run, with the place to change them.
const OURS: [(&str, &str); 3] =
    [("run_seed", "seeds"), ("output_dir", "--out"), ("num_eval_samples", "evaluation_samples")];

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Name of its folder: TASK-ARM-SEED.
    pub name: String,
    /// The task.
    pub task: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// All its settings.
    pub settings: Settings,
    /// The settings that the arm changes.
    pub changed: Table,
}

/// Returns the runs whose TASK/ARM contains a part of `only`, by seed, then task and arm.
///
/// # Errors
/// One error with everything that is not valid.
pub fn runs(file: &SweepFile, out: &Path, only: &[String]) -> Result<Vec<PlannedRun>> {
    let mut runs = Vec::new();
    let mut errors = Errors::default();
    for &seed in &file.seeds {
        for (task_name, task) in &file.tasks {
            for (arm_name, arm) in file.arms.iter().filter(|(_, arm)| arm.tasks.contains(task_name))
            {
                let label = format!("{task_name}/{arm_name}");
                if !only.is_empty() && !only.iter().any(|part| label.contains(part)) {
                    continue;
                }
                let changed = changed(arm, task_name);
                let name = format!("{task_name}-{arm_name}-{seed}");
                let folder = out.join(&name);
                match settings(file, task, &changed, seed, &folder) {
                    Ok(settings) => runs.push(PlannedRun {
                        name,
                        task: task_name.clone(),
                        arm: arm_name.clone(),
                        seed,
                        folder,
                        settings,
                        changed,
                    }),
                    Err(found) => errors.add(&label, found),
                }
            }
        }
    }
    errors.check()?;
    check_names(&runs)?;
    if runs.is_empty() {
        bail!("{}: expected runs, found none; hint: --only TASK/ARM", file.path.display());
    }
    Ok(runs)
}

/// What is wrong, each thing once.
#[derive(Default)]
struct Errors {
    list: Vec<String>,
}

impl Errors {
    fn add(&mut self, label: &str, found: Vec<String>) {
        for one in found {
            let line = format!("{label}: {one}");
            if !self.list.contains(&line) {
                self.list.push(line);
            }
        }
    }

    fn check(self) -> Result<()> {
        match self.list.is_empty() {
            true => Ok(()),
            false => bail!("{}", self.list.join("; ")),
        }
    }
}

/// Returns the settings that an arm changes in a task.
fn changed(arm: &Arm, task: &str) -> Table {
    let mut changed = arm.settings.clone();
    changed.extend(arm.of_task.get(task).cloned().unwrap_or_default());
    changed
}

/// Resolves and checks the settings of one run: config of the task < environment < settings of the task <
/// those of the arm < those of the sweep.
fn settings(
    file: &SweepFile,
    task: &Task,
    changed: &Table,
    seed: u64,
    folder: &Path,
) -> Result<Settings, Vec<String>> {
    let mut values = task.settings.clone();
    values.extend(changed.clone());
    let taken = OURS.iter().filter(|(key, _)| values.contains_key(*key));
    let taken: Vec<String> =
        taken.map(|(key, hint)| format!("{key} is set by the sweep; hint: {hint}")).collect();
    if !taken.is_empty() {
        return Err(taken);
    }
    let seed = i64::try_from(seed).map_err(|_| vec![format!("seeds: {seed} is above 2^63 - 1")])?;
    let samples = i64::from(file.evaluation_samples);
    values.insert("run_seed".into(), Value::Integer(seed));
    values.insert("num_eval_samples".into(), Value::Integer(samples));
    values.insert("output_dir".into(), Value::String(folder.to_string_lossy().into_owned()));
    let from = Source::File(file.path.clone());
    let told = |errors: Vec<SettingsError>| {
        errors.iter().map(|error| one_line(error)).collect::<Vec<String>>()
    };
    let Resolved { mut settings, .. } =
        resolve_values(Some(&task.config), variables(), &values, &from).map_err(told)?;
    // Runs share the machine, and a figure needs the first and the last evaluation.
    settings.threads.get_or_insert(1);
    settings.eval_every_each_epoch.get_or_insert(settings.num_epochs);
    let plan = checked(settings).map_err(|error| vec![one_line(&error)])?;
    Ok(plan.settings)
}

/// Checks that no two runs have the same folder.
fn check_names(runs: &[PlannedRun]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match runs.iter().find(|run| !seen.insert(&run.name)) {
        None => Ok(()),
        Some(run) => {
            bail!("{}: two runs have this folder; hint: rename a task or an arm", run.name)
        }
    }
}
