//! `compare.json`.

use crate::best_of::BestOf;
use crate::outcome::Stage;
use crate::sweep::{RunRecord, Spreads};
use serde::Serialize;

/// All runs that are compared.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The tasks.
    pub tasks: Vec<TaskComparison>,
}

/// Arms with one reward.
#[derive(Clone, Debug, Serialize)]
pub struct TaskComparison {
    /// Its name in the sweep, or the reward of runs outside a sweep.
    pub name: String,
    /// The reward of its runs.
    pub reward: String,
    /// What is compared: a component of the scores, or `reward`.
    pub measure: String,
    /// The unit of the reward; empty for a component.
    pub unit: String,
    /// The arms, the highest median reward first.
    pub arms: Vec<ArmComparison>,
    /// The first evaluation of the first run: the best of n samples of the pretrained model.
    pub best_of_n: Vec<BestOf>,
}

/// One arm: runs that differ in their seed only.
#[derive(Clone, Debug, Serialize)]
pub struct ArmComparison {
    /// Its name.
    pub name: String,
    /// Whether no other arm has at least the same median reward and diversity, and more of one.
    pub on_front: bool,
    /// Its figures over the seeds.
    #[serde(flatten)]
    pub spreads: Spreads,
    /// Medians over the seeds at each evaluation.
    pub stages: Vec<Stage>,
    /// The runs.
    pub runs: Vec<MeasuredRun>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct MeasuredRun {
    /// Its figures.
    #[serde(flatten)]
    pub record: RunRecord,
    /// Its evaluations.
    pub stages: Vec<Stage>,
}
