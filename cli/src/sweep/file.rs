//! The file of a sweep.
//!
//! ```toml
//! seeds = [7, 8, 9]
//! evaluation_samples = 512            # default
//!
//! [tasks.over50]
//! config = "examples/over50.toml"     # a settings file of ddpo train
//! measure = "classified_50_or_older"  # default: the reward
//! settings = { threads = 1 }          # of this task's runs
//!
//! [arms.uniform]
//! settings = { step_weights = "uniform" }
//! tasks = ["over50"]                  # default: all
//! over50 = { kl_coef = 0.8 }          # settings of this arm in one task
//! ```

use anyhow::{Context, Result, bail};
use ddpo_rollout::causes::one_line;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Default number of samples of each evaluation.
const EVALUATION_SAMPLES: u32 = 512;

/// The table of a sweep.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// The file.
    pub path: PathBuf,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Samples of each evaluation.
    pub evaluation_samples: u32,
    /// The tasks by name.
    pub tasks: BTreeMap<String, Task>,
    /// The arms by name.
    pub arms: BTreeMap<String, Arm>,
}

/// A starting point that every arm changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The settings file. Relative to the working folder, as all paths of `ddpo train`.
    pub config: PathBuf,
    /// The component of the evaluations to compare; by default the reward.
    pub measure: Option<String>,
    /// Settings of all runs of the task.
    #[serde(default)]
    pub settings: Table,
}

/// Settings that are compared with those of other arms.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Settings in all tasks.
    pub settings: Table,
    /// Settings in one task, by its name.
    pub of_task: BTreeMap<String, Table>,
    /// The tasks to run.
    pub tasks: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    seeds: Vec<u64>,
    evaluation_samples: Option<u32>,
    tasks: BTreeMap<String, Task>,
    arms: BTreeMap<String, Table>,
}

impl SweepFile {
    /// Reads the file. `seeds` replace those of the file.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, or a name or a number that is not valid.
    pub fn read(path: &Path, seeds: &[u64]) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{shown}"))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| refused(path, &text, &error))?;
        let seeds = if seeds.is_empty() { raw.seeds } else { seeds.to_vec() };
        check_seeds(&seeds).with_context(|| format!("{shown}"))?;
        let evaluation_samples = raw.evaluation_samples.unwrap_or(EVALUATION_SAMPLES);
        for (kind, name) in (raw.tasks.keys().map(|name| ("tasks", name)))
            .chain(raw.arms.keys().map(|name| ("arms", name)))
        {
            check_name(kind, name).with_context(|| format!("{shown}"))?;
        }
        let arm = |(name, table): (String, Table)| {
            let arm = arm(table, &raw.tasks).with_context(|| format!("{shown}: arms.{name}"))?;
            Ok((name, arm))
        };
        let arms = raw.arms.into_iter().map(arm).collect::<Result<_>>()?;
        Ok(Self { path: path.into(), seeds, evaluation_samples, tasks: raw.tasks, arms })
    }
}

/// Returns the error of a file that is not a sweep's.
fn refused(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    anyhow::anyhow!("{}: line {line}: {}", path.display(), error.message().replace('\n', " "))
}

fn check_seeds(seeds: &[u64]) -> Result<()> {
    if seeds.is_empty() {
        bail!("seeds: expected at least one; hint: seeds = [7, 8, 9], or --seeds 7,8,9");
    }
    let different: BTreeSet<&u64> = seeds.iter().collect();
    if different.len() < seeds.len() {
        bail!("seeds = {seeds:?}: expected different numbers");
    }
    Ok(())
}

/// Checks a name that becomes a part of a folder's name.
fn check_name(kind: &str, name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(good) {
        bail!(
            "{kind}.\"{name}\": expected letters, digits, '-', '_' and '.', as in a folder's name"
        );
    }
    if kind == "tasks" && ["settings", "tasks"].contains(&name) {
        bail!("tasks.{name}: expected another name, because it is a key of arms");
    }
    Ok(())
}

/// Reads the table of an arm.
fn arm(mut table: Table, tasks: &BTreeMap<String, Task>) -> Result<Arm> {
    let known = || tasks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let settings = table.remove("settings").map_or(Ok(Table::new()), |it| settings("settings", it));
    let settings = settings?;
    let listed = table.remove("tasks").map(Value::try_into::<BTreeSet<String>>);
    let listed = listed.transpose().map_err(|error| {
        anyhow::anyhow!("tasks: expected a list of names; {}", one_line(&error))
    })?;
    let listed = listed.unwrap_or_else(|| tasks.keys().cloned().collect());
    if let Some(name) = listed.iter().find(|name| !tasks.contains_key(*name)) {
        bail!("tasks: \"{name}\" is not a task; expected {}", known());
    }
    let mut of_task = BTreeMap::new();
    for (key, value) in table {
        if !tasks.contains_key(&key) {
            bail!("unknown key `{key}`; expected settings, tasks or a task: {}", known());
        }
        of_task.insert(key.clone(), self::settings(&key, value)?);
    }
    Ok(Arm { settings, of_task, tasks: listed })
}

fn settings(key: &str, value: Value) -> Result<Table> {
    match value {
        Value::Table(table) => Ok(table),
        other => bail!("{key}: expected a table of settings, found {}", other.type_str()),
    }
}
