//! Evaluation with the same seeds every time: a grid, a table, and the mean reward of each.

use crate::error::{FolderError, RunError};
use crate::folder::RunFolder;
use crate::metrics::{Components, RewardSummary, components};
use crate::pictures;
use crate::plan::Plan;
use crate::rollouts::{OnInterrupt, Request, Weights};
use crate::table::Columns;
use ddpo_files::write_file;
use ddpo_report::evaluation::CLASS;
use ddpo_report::table::Table;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{PolicyVersion, StateShape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Epochs completed before it.
    pub epoch: u32,
    /// The rewards.
    #[serde(flatten)]
    pub rewards: RewardSummary,
    /// The components of the scores, including held-out rewards.
    #[serde(default, skip_serializing_if = "Components::is_empty")]
    pub components: Components,
    /// The rewards of each class; empty for a model without classes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<u32, ClassReward>,
}

/// The rewards of one class in an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReward {
    /// Number of samples.
    pub n: usize,
    /// Mean reward.
    pub reward_mean: f64,
}

/// The evaluations of a run, stored in `eval/rewards.jsonl`.
#[derive(Debug)]
pub struct Evaluations {
    list: Vec<Evaluation>,
}

impl Evaluations {
    /// Reads the recorded evaluations up to `epoch`.
    ///
    /// # Errors
    /// [`FolderError::Io`] and [`FolderError::Line`].
    pub fn open(folder: &RunFolder, epoch: u32) -> Result<Self, FolderError> {
        let path = folder.root().join("eval/rewards.jsonl");
        if epoch == 0 || !path.exists() {
            return Ok(Self { list: Vec::new() });
        }
        let text = std::fs::read_to_string(&path).map_err(FolderError::io("read", &path))?;
        let parsed = text.lines().map(serde_json::from_str::<Evaluation>);
        let list = parsed
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| FolderError::Line { path, source })?;
        Ok(Self { list: list.into_iter().filter(|one| one.epoch <= epoch).collect() })
    }

    /// Returns the mean reward after `epoch` epochs, if there was an evaluation.
    pub fn mean_after(&self, epoch: u32) -> Option<f64> {
        let found = self.list.iter().find(|one| one.epoch == epoch);
        found.map(|one| one.rewards.reward_mean)
    }

    /// Returns the first and the last evaluation.
    pub fn ends(&self) -> Option<(&Evaluation, &Evaluation)> {
        Some((self.list.first()?, self.list.last()?))
    }

    /// Writes the grid, the table and the list, and returns the evaluation. `classes` are those of a
    /// class-conditional model.
    ///
    /// # Errors
    /// [`RunError::HeldOut`], [`RunError::Draw`] and [`RunError::Write`].
    pub fn push(
        &mut self,
        plan: &Plan,
        folder: &RunFolder,
        (shape, classes): (StateShape, Option<&ClassList>),
        epoch: u32,
        scored: &[ScoredTrajectory],
    ) -> Result<Evaluation, RunError> {
        check_held_out(plan, scored)?;
        let title = format!("after {epoch} epochs");
        pictures::write(
            &folder.eval(epoch, "png"),
            &plan.rewards.reward.label(),
            shape,
            scored,
            &title,
        )?;
        write_file(&folder.eval(epoch, "csv"), table(classes, scored).to_csv().as_bytes())?;
        let rewards: Vec<f32> = scored.iter().map(|one| one.score.reward).collect();
        let rewards = RewardSummary::of(&rewards);
        let classes = classes.map(|classes| by_class(classes, scored)).unwrap_or_default();
        let evaluation = Evaluation { epoch, rewards, components: components(scored), classes };
        self.list.push(evaluation.clone());
        let lines = self.list.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = lines.join("\n") + "\n";
        write_file(&folder.root().join("eval/rewards.jsonl"), text.as_bytes())?;
        Ok(evaluation)
    }
}

/// Returns the class of a sample.
fn class_of(classes: &ClassList, one: &ScoredTrajectory) -> u32 {
    let header = one.trajectory.header();
    classes.of(header.purpose, header.coordinates)
}

/// Returns the table of the scores, with a column for the classes of a class-conditional model.
fn table(classes: Option<&ClassList>, scored: &[ScoredTrajectory]) -> Table {
    let columns = Columns::of(scored.iter().map(|one| &one.score));
    let row = |one: &ScoredTrajectory| {
        let sample = one.trajectory.header().coordinates.sample;
        let mut row = columns.row(&sample.to_string(), &one.score);
        if let Some(classes) = classes {
            row.insert(1, class_of(classes, one).to_string());
        }
        row
    };
    let mut heading = columns.heading("sample");
    if classes.is_some() {
        heading.insert(1, CLASS.to_owned());
    }
    Table { columns: heading, rows: scored.iter().map(row).collect() }
}

/// Summarises the rewards of each class.
fn by_class(classes: &ClassList, scored: &[ScoredTrajectory]) -> BTreeMap<u32, ClassReward> {
    let mut rewards: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
    for one in scored {
        rewards.entry(class_of(classes, one)).or_default().push(one.score.reward);
    }
    let summary = |(class, rewards): (u32, Vec<f32>)| {
        let RewardSummary { reward_mean, .. } = RewardSummary::of(&rewards);
        (class, ClassReward { n: rewards.len(), reward_mean })
    };
    rewards.into_iter().map(summary).collect()
}

/// Checks that every sample was scored with the held-out rewards.
fn check_held_out(plan: &Plan, scored: &[ScoredTrajectory]) -> Result<(), RunError> {
    for name in plan.rewards.held_out.iter().map(RewardExpression::held_out_name) {
        let lacks = |one: &&ScoredTrajectory| {
            !one.score.components.iter().any(|component| component.name == name)
        };
        if let Some(one) = scored.iter().find(lacks) {
            let sample = one.trajectory.header().coordinates.sample;
            return Err(RunError::HeldOut { sample, name });
        }
    }
    Ok(())
}

/// Returns the request for all evaluation samples.
pub fn request<'a>(plan: &Plan, weights: Weights<'a>) -> Request<'a> {
    let on_interrupt = match weights.id.version == PolicyVersion::default() {
        true => OnInterrupt::Abandon,
        false => OnInterrupt::Finish,
    };
    Request {
        weights,
        purpose: Purpose::Evaluation,
        run_seed: plan.settings.eval_rnd_seed,
        epoch: 0,
        samples: plan.settings.num_eval_samples as u32,
        stage: "evaluating",
        on_interrupt,
    }
}
