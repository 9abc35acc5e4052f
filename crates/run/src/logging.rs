//! What a run tells TensorBoard and Weights & Biases, where its settings ask for that: of every epoch
//! the numbers of `metrics.jsonl`, how rewards, advantages and ratios are spread, and the grids that
//! lie in the run's folder.
//!
//! A step is logged before the epoch's checkpoint is written. So a log never lacks what a checkpoint
//! has, and what it has beyond is cut off when the run goes on (`crates/loggers`).

use crate::checkpoint;
use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::folder::RunFolder;
use crate::host::Outcome;
use crate::metrics::EpochMetrics;
use crate::paths::without_paths;
use crate::plan::Plan;
use crate::settings::Settings;
use ddpo_algorithm::report::UpdateSamples;
use ddpo_loggers::{
    About, Checkpoint, Ending, Histogram, LogError, Logger, Picture, Project, Step, TensorBoard,
    WeightsAndBiases, scalars,
};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::SystemTime;

/// Exit status of a run that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// The places that a run is logged to; there may be none.
#[derive(Debug, Default)]
pub struct Logs {
    loggers: Vec<Box<dyn Logger>>,
    /// Whether checkpoints are kept with the log.
    keeps_checkpoints: bool,
}

/// An evaluation, and the rewards that it is made of.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// What it came to.
    pub evaluation: Evaluation,
    /// The reward of every sample.
    pub rewards: Vec<f32>,
}

/// An epoch, and the values that its line is made of.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// Its line of `metrics.jsonl`.
    pub metrics: &'a EpochMetrics,
    /// The reward of every sample.
    pub rewards: &'a [f32],
    /// Advantages and ratios of the update.
    pub samples: &'a UpdateSamples,
}

impl Logs {
    /// The places that the settings ask for, which are told the settings as checkpoints record them:
    /// without a trace of where anything lies. Of what is there already, the steps up to `epoch` count;
    /// at epoch 0 none. Nothing is written yet.
    ///
    /// # Errors
    /// [`RunError::Json`], an error of the program.
    pub fn open(plan: &Plan, folder: &RunFolder, epoch: u32) -> Result<Self, RunError> {
        let settings = &plan.settings;
        let Value::Object(recorded) = serde_json::to_value(without_paths(settings))? else {
            return Ok(Self::default());
        };
        let about = About {
            name: name(settings, folder.root()),
            settings: recorded,
            last: (epoch > 0).then_some(epoch),
        };
        let mut loggers: Vec<Box<dyn Logger>> = Vec::new();
        if settings.tensorboard {
            loggers.push(Box::new(TensorBoard::new(&folder.tensorboard(), about.clone())));
        }
        if settings.wandb_logging {
            let project = Project {
                entity: settings.wandb_entity.clone().unwrap_or_default(),
                project: settings.wandb_project.clone(),
                tags: settings.wandb_tags.clone().unwrap_or_default(),
            };
            loggers.push(Box::new(WeightsAndBiases::new(&folder.wandb(), about, project)));
        }
        Ok(Self { loggers, keeps_checkpoints: settings.save_model })
    }

    /// Logs what there is after `epoch` epochs: an epoch, an evaluation, or both.
    ///
    /// # Errors
    /// [`RunError::Log`] and [`RunError::Json`].
    pub fn log(
        &mut self,
        folder: &RunFolder,
        epoch: u32,
        trained: Option<Trained<'_>>,
        evaluated: Option<&Evaluated>,
    ) -> Result<(), RunError> {
        if self.loggers.is_empty() {
            return Ok(());
        }
        let mut step = Step {
            number: epoch,
            time: SystemTime::now(),
            scalars: Vec::new(),
            histograms: Vec::new(),
            pictures: Vec::new(),
        };
        if let Some(trained) = trained {
            add_epoch(&mut step, trained, folder)?;
        }
        if let Some(evaluated) = evaluated {
            add_evaluation(&mut step, evaluated, folder)?;
        }
        for logger in &mut self.loggers {
            logger.log(&step)?;
        }
        Ok(())
    }

    /// Logs how the run has ended, with its last and its best checkpoint if the settings ask for
    /// that.
    ///
    /// # Errors
    /// [`RunError::Log`], and [`RunError::Checkpoint`] if the best one cannot be read.
    pub fn close(
        &mut self,
        folder: &RunFolder,
        epoch: u32,
        outcome: Outcome,
    ) -> Result<(), RunError> {
        let code = match outcome {
            Outcome::Finished => 0,
            Outcome::Interrupted => INTERRUPTED,
        };
        let checkpoints = match self.keeps_checkpoints && !self.loggers.is_empty() {
            true => checkpoints(folder, epoch)?,
            false => Vec::new(),
        };
        let ending = Ending { code, checkpoints };
        for logger in &mut self.loggers {
            logger.close(&ending)?;
        }
        Ok(())
    }
}

/// The name that was asked for, or that of the run's folder.
fn name(settings: &Settings, root: &Path) -> String {
    let own = || root.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
    settings.wandb_name.clone().or_else(own).unwrap_or_default()
}

fn add_epoch(step: &mut Step, trained: Trained<'_>, folder: &RunFolder) -> Result<(), RunError> {
    let Trained { metrics, rewards, samples } = trained;
    step.scalars.extend(numbers(metrics)?);
    let values =
        [("rewards", rewards), ("advantages", &samples.advantages), ("ratios", &samples.ratios)];
    let histograms = values.map(|(name, values)| histogram(name, values));
    step.histograms.extend(histograms.into_iter().flatten());
    let caption =
        format!("epoch {}: mean reward {:.4}", metrics.epoch, metrics.rewards.reward_mean);
    step.pictures.push(Picture::read("samples", caption, &folder.samples(metrics.epoch))?);
    Ok(())
}

/// The numbers of an evaluation have the names that a line of `metrics.jsonl` has for those of them
/// that it tells.
fn add_evaluation(
    step: &mut Step,
    evaluated: &Evaluated,
    folder: &RunFolder,
) -> Result<(), RunError> {
    let Evaluated { evaluation, rewards } = evaluated;
    let numbers =
        numbers(evaluation)?.into_iter().map(|(name, value)| (format!("eval_{name}"), value));
    let known: Vec<String> = step.scalars.iter().map(|(name, _)| name.clone()).collect();
    step.scalars.extend(numbers.filter(|(name, _)| !known.contains(name)));
    step.histograms.extend(histogram("eval_rewards", rewards));
    let mean = evaluation.rewards.reward_mean;
    let caption = format!("after {} epochs: mean reward {mean:.4}", evaluation.epoch);
    let path = folder.eval(evaluation.epoch, "png");
    step.pictures.push(Picture::read("evaluation", caption, &path)?);
    Ok(())
}

/// The numbers of a line as a reader of the file finds them: a number in f32 has fewer digits there
/// than it has in f64.
fn numbers(line: &impl Serialize) -> Result<Vec<(String, f64)>, RunError> {
    Ok(scalars(&serde_json::from_str(&serde_json::to_string(line)?)?))
}

fn histogram(name: &'static str, values: &[f32]) -> Option<(&'static str, Histogram)> {
    Some((name, Histogram::of(values.iter().copied())?))
}

/// The checkpoint after `epoch` epochs, and the best one if that is another.
fn checkpoints(folder: &RunFolder, epoch: u32) -> Result<Vec<Checkpoint>, RunError> {
    let best = match folder.best().is_dir() {
        true => Some(checkpoint::read_state(&folder.best())?.epoch),
        false => None,
    };
    let of = |epoch: u32, names: &[&str]| Checkpoint {
        folder: folder.checkpoint(epoch),
        epoch,
        aliases: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let all = match best {
        Some(best) if best == epoch => vec![of(epoch, &["latest", "best"])],
        Some(best) => vec![of(best, &["best"]), of(epoch, &["latest"])],
        None => vec![of(epoch, &["latest"])],
    };
    Ok(all.into_iter().filter(|checkpoint| checkpoint.folder.is_dir()).collect())
}

impl From<LogError> for RunError {
    fn from(error: LogError) -> Self {
        Self::Log(Box::new(error))
    }
}
