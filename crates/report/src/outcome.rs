//! What a run reached, by the scores and images that it keeps of its own evaluations.

use crate::analysis::diversity_of;
use crate::error::ReportError;
use crate::gallery::{Gallery, Shown};
use crate::judgement::{DiversityLine, DiversityPoint};
use crate::run::{EVALUATIONS, Run};
use crate::statistics::mean;
use crate::summary::column;
use serde::{Deserialize, Serialize};

/// A Vendi score up to which all images count as the same.
const SAME: f64 = 1.0 + 1e-9;

/// A run at one of its evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Epochs completed.
    pub epoch: u32,
    /// Trajectories that were drawn for training until then.
    pub queries: u64,
    /// Mean of the measure.
    pub reward: f64,
    /// Share of the first evaluation's diversity that remains: of the Vendi score above 1, the lowest of
    /// all kinds of features.
    pub kept: f64,
}

/// The first and the last evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Mean of the first evaluation.
    pub before: f64,
    /// Mean of the last evaluation.
    pub after: f64,
    /// Trajectories that were drawn for training.
    pub queries: u64,
    /// Share of the first evaluation's diversity that remains at the last.
    pub kept: f64,
}

impl Outcome {
    /// Summarises the stages of a run; `None` for fewer than two.
    pub fn of(stages: &[Stage]) -> Option<Self> {
        let (first, last) = (stages.first()?, stages.last()?);
        (stages.len() > 1).then_some(Self {
            before: first.reward,
            after: last.reward,
            queries: last.queries,
            kept: last.kept,
        })
    }
}

/// Measures every evaluation of `run`, whose images are in `gallery`. `measure` is a component of the scores;
/// by default the reward.
///
/// # Errors
/// [`ReportError::File`] for an unknown component, and for a run with fewer than two evaluations.
pub fn stages(
    run: &Run,
    gallery: &Gallery,
    measure: Option<&str>,
) -> Result<Vec<Stage>, ReportError> {
    let path = run.root.join(EVALUATIONS);
    if gallery.checkpoints.len() < 2 {
        let found = gallery.checkpoints.len();
        let reason = format!(
            "expected at least two evaluations, found {found}; hint: set eval_every_each_epoch"
        );
        return Err(ReportError::file(&path, reason));
    }
    let at = position(gallery, measure).ok_or_else(|| {
        let (measure, known) = (measure.unwrap_or_default(), gallery.columns.join(", "));
        ReportError::file(&path, format!("measure = \"{measure}\": expected one of {known}"))
    })?;
    let samples = run.number("num_samples_per_epoch").unwrap_or_default() as u64;
    let lines = diversity_of(gallery);
    let stage = |(index, one): (usize, &Shown)| {
        let epoch = one.epoch.unwrap_or_default();
        Stage {
            epoch,
            queries: u64::from(epoch) * samples,
            reward: mean(&column(&one.scores, at)),
            kept: kept(&lines, index),
        }
    };
    Ok(gallery.checkpoints.iter().enumerate().map(stage).collect())
}

/// Returns the position of a component in the scores; 0, the reward, by default.
pub fn position(gallery: &Gallery, measure: Option<&str>) -> Option<usize> {
    let Some(measure) = measure else { return Some(0) };
    gallery.columns.iter().position(|column| column == measure)
}

/// Returns the share of the diversity that remains at checkpoint `index`, the lowest of all kinds of features.
fn kept(lines: &[DiversityLine], index: usize) -> f64 {
    let share = |line: &DiversityLine| {
        let ends = line.checkpoints.first().zip(line.checkpoints.get(index));
        ends.map_or(1.0, |(first, now)| share(first, now))
    };
    lines.iter().map(share).fold(f64::INFINITY, f64::min)
}

/// Returns the share of `first`'s diversity that remains; 1 if the images were all the same from the start.
fn share(first: &DiversityPoint, now: &DiversityPoint) -> f64 {
    match first.diversity.vendi <= SAME {
        true => 1.0,
        false => now.diversity.left_of(&first.diversity),
    }
}
