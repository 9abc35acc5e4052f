//! `sweep.json`: what each arm of a sweep reached, run by run and as medians.

use crate::error::ReportError;
use crate::files::read_text;
use crate::outcome::Outcome;
use crate::statistics::{quantile, sorted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file in the folder of a sweep.
pub const SWEEP: &str = "sweep.json";

/// `sweep.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Samples of each evaluation.
    pub evaluation_samples: u32,
    /// The tasks by name.
    pub tasks: BTreeMap<String, TaskRecord>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The component of the evaluations that `before` and `after` are means of; absent for the reward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// The arms by name.
    pub arms: BTreeMap<String, ArmRecord>,
}

/// One arm of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    /// The settings that the arm changes.
    pub settings: toml::Table,
    /// Its figures over the seeds.
    #[serde(flatten)]
    pub spreads: Spreads,
    /// The runs in the order of the seeds.
    pub runs: Vec<RunRecord>,
}

/// Figures over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spreads {
    /// Mean of the first evaluation.
    pub before: Spread,
    /// Mean of the last evaluation.
    pub after: Spread,
    /// Trajectories that were drawn for training.
    pub queries: Spread,
    /// Share of the first evaluation's diversity that remains.
    pub kept: Spread,
    /// Seconds of wall time, of all attempts; absent for runs outside a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Spread>,
    /// Minutes of CPU time, of all attempts; absent for runs outside a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_minutes: Option<Spread>,
}

impl Spreads {
    /// Summarises runs; `None` without any.
    pub fn of(runs: &[RunRecord]) -> Option<Self> {
        let over =
            |value: fn(&RunRecord) -> f64| Spread::of(&runs.iter().map(value).collect::<Vec<_>>());
        let of_cost = |value: fn(&Cost) -> f64| {
            let values: Option<Vec<f64>> =
                runs.iter().map(|run| run.cost.as_ref().map(value)).collect();
            Spread::of(&values?)
        };
        Some(Self {
            before: over(|run| run.outcome.before)?,
            after: over(|run| run.outcome.after)?,
            queries: over(|run| run.outcome.queries as f64)?,
            kept: over(|run| run.outcome.kept)?,
            seconds: of_cost(|cost| cost.seconds),
            cpu_minutes: of_cost(|cost| cost.cpu_minutes),
        })
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Name of its folder.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// What it reached.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it cost, if a sweep measured it.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

/// The time that a run took, all attempts added.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of wall time.
    pub seconds: f64,
    /// Minutes of CPU time, user and system.
    pub cpu_minutes: f64,
}

/// Smallest, median and largest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Smallest value.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Largest value.
    pub max: f64,
}

impl Spread {
    /// Summarises values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let values = sorted(values);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: quantile(&values, 0.5), max })
    }
}

impl SweepRecord {
    /// Reads the record of the sweep in `folder`.
    ///
    /// # Errors
    /// [`ReportError::Io`] and [`ReportError::File`].
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join(SWEEP);
        let parsed = serde_json::from_str(&read_text(&path)?);
        parsed.map_err(|error| ReportError::file(&path, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_mean_of_the_two_values_in_the_middle() {
        let found = Spread::of(&[4.0, 1.0, 2.0, 8.0]).unwrap();
        assert_eq!(found, Spread { min: 1.0, median: 3.0, max: 8.0 });
        assert_eq!(Spread::of(&[]), None);
    }
}
