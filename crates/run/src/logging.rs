//! Optional logs of a run for TensorBoard and Weights & Biases: the numbers of `metrics.jsonl`, the
//! distributions of rewards, advantages and ratios, and the grids in the run's folder.
//!
//! An epoch is logged before its checkpoint is written, so TensorBoard's log contains every epoch of
//! a checkpoint. When the run resumes, later epochs are cut off (`crates/loggers`). If Weights &
//! Biases fails, the run reports the error in one line and continues without it.

use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::folder::RunFolder;
use crate::host::Outcome;
use crate::metrics::EpochMetrics;
use crate::paths::without_paths;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::settings::Settings;
use ddpo_algorithm::report::UpdateSamples;
use ddpo_loggers::{
    Histogram, LogError, Picture, Step, TensorBoard, WandbError, WandbRun, WeightsAndBiases,
    scalars, write_histograms,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Exit status of an interrupted run, as in shells.
const INTERRUPTED: u8 = 130;

/// Maximum time to wait for the uploads of a finished run.
const FINISH: Duration = Duration::from_secs(300);

/// Maximum time to wait for the uploads of an interrupted run, within a container's grace period.
const STOP: Duration = Duration::from_secs(10);

/// The logs of a run.
#[derive(Debug, Default)]
pub struct Logs {
    tensorboard: Option<TensorBoard>,
    wandb: Option<WeightsAndBiases>,
    /// Whether to keep distributions for Weights & Biases, now or later with `ddpo log`.
    keeps_histograms: bool,
}

/// An evaluation, and the rewards behind it.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The summary.
    pub evaluation: Evaluation,
    /// The reward of every sample.
    pub rewards: Vec<f32>,
    /// Share of the first evaluation's diversity that this one keeps, if it was measured.
    pub diversity_kept: Option<f64>,
}

/// An epoch, and the values behind its line.
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
    /// Opens the logs that the settings enable. `epoch` is the last valid epoch in TensorBoard's files;
    /// 0 if the files have none. Writes nothing.
    ///
    /// # Errors
    /// [`RunError::Json`], an error of the program.
    pub fn open(plan: &Plan, folder: &RunFolder, epoch: u32) -> Result<Self, RunError> {
        let (settings, last) = (recorded(&plan.settings)?, (epoch > 0).then_some(epoch));
        let tensorboard = || TensorBoard::new(&folder.tensorboard(), settings, last);
        Ok(Self {
            tensorboard: plan.settings.tensorboard.then(tensorboard),
            wandb: None,
            keeps_histograms: plan.settings.wandb_logging,
        })
    }

    /// Starts logging to Weights & Biases if the settings enable it. The run's folder must exist.
    ///
    /// # Errors
    /// [`RunError::Json`], an error of the program.
    pub fn begin(
        &mut self,
        plan: &Plan,
        folder: &RunFolder,
        progress: &dyn Progress,
    ) -> Result<(), RunError> {
        if plan.settings.wandb_logging {
            let started = WeightsAndBiases::start(&wandb_run(&plan.settings, folder.root())?);
            self.wandb = started.map_err(|error| report(&error, progress)).ok();
        }
        Ok(())
    }

    /// Logs an epoch, an evaluation, or both, after `epoch` epochs.
    ///
    /// # Errors
    /// [`RunError::Log`] and [`RunError::Json`].
    pub fn log(
        &mut self,
        folder: &RunFolder,
        epoch: u32,
        trained: Option<Trained<'_>>,
        evaluated: Option<&Evaluated>,
        progress: &dyn Progress,
    ) -> Result<(), RunError> {
        if self.tensorboard.is_none() && !self.keeps_histograms {
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
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.log(&step)?;
        }
        if self.keeps_histograms
            && let Err(error) = write_histograms(folder.root(), epoch, &step.histograms)
        {
            progress.aside(&format!("continuing without histograms for wandb: {error}"));
            self.keeps_histograms = false;
        }
        if let Some(wandb) = &mut self.wandb
            && let Err(error) = wandb.log(epoch, &mut tell(progress))
        {
            report(&error, progress);
            self.wandb = None;
        }
        Ok(())
    }

    /// Logs the end of the run after `epoch` epochs, and waits for uploads.
    pub fn close(&mut self, epoch: u32, outcome: Outcome, progress: &dyn Progress) {
        let (code, patience) = match outcome {
            Outcome::Finished => (0, FINISH),
            Outcome::Interrupted => (INTERRUPTED, STOP),
        };
        let Some(wandb) = self.wandb.take() else { return };
        if let Err(error) = wandb.close(epoch, code, patience, &mut tell(progress)) {
            progress.aside(&error.to_string());
        }
    }
}

/// Returns the run in the folder `root` as Weights & Biases shows it, with the settings that
/// checkpoints record (without paths).
///
/// # Errors
/// [`RunError::Json`], an error of the program.
pub fn wandb_run(settings: &Settings, root: &Path) -> Result<WandbRun, RunError> {
    let folder_name = || root.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
    Ok(WandbRun {
        folder: root.into(),
        config: recorded(settings)?,
        project: settings.wandb_project.clone(),
        entity: settings.wandb_entity.clone(),
        name: settings.wandb_name.clone().or_else(folder_name).unwrap_or_default(),
        tags: settings.wandb_tags.clone().unwrap_or_default(),
        save_model: settings.save_model,
    })
}

/// Returns the settings as checkpoints record them.
fn recorded(settings: &Settings) -> Result<Map<String, Value>, RunError> {
    Ok(serde_json::from_value(serde_json::to_value(without_paths(settings))?)?)
}

/// Shows the messages of Weights & Biases.
fn tell(progress: &dyn Progress) -> impl FnMut(&str) {
    |line| progress.aside(&format!("wandb: {line}"))
}

/// Reports that the run continues without Weights & Biases.
fn report(error: &WandbError, progress: &dyn Progress) {
    progress.aside(&format!("continuing without Weights & Biases: {error}"));
}

fn add_epoch(step: &mut Step, trained: Trained<'_>, folder: &RunFolder) -> Result<(), RunError> {
    let Trained { metrics, rewards, samples } = trained;
    step.scalars.extend(numbers(metrics)?);
    let values =
        [("rewards", rewards), ("advantages", &samples.advantages), ("ratios", &samples.ratios)];
    let histograms = values.map(|(name, values)| histogram(name, values));
    step.histograms.extend(histograms.into_iter().flatten());
    step.pictures.push(Picture::read("samples", &folder.samples(metrics.epoch))?);
    Ok(())
}

/// Adds an evaluation. Numbers that are also in `metrics.jsonl` keep their names from there.
fn add_evaluation(
    step: &mut Step,
    evaluated: &Evaluated,
    folder: &RunFolder,
) -> Result<(), RunError> {
    let Evaluated { evaluation, rewards, .. } = evaluated;
    let numbers =
        numbers(evaluation)?.into_iter().map(|(name, value)| (format!("eval_{name}"), value));
    let known: Vec<String> = step.scalars.iter().map(|(name, _)| name.clone()).collect();
    step.scalars.extend(numbers.filter(|(name, _)| !known.contains(name)));
    step.histograms.extend(histogram("eval_rewards", rewards));
    let path = folder.eval(evaluation.epoch, "png");
    step.pictures.push(Picture::read("evaluation", &path)?);
    Ok(())
}

/// Returns the numbers of a line as its JSON has them: an f32 has fewer digits there than the same
/// value as an f64.
fn numbers(line: &impl Serialize) -> Result<Vec<(String, f64)>, RunError> {
    Ok(scalars(&serde_json::from_str(&serde_json::to_string(line)?)?))
}

fn histogram(name: &'static str, values: &[f32]) -> Option<(&'static str, Histogram)> {
    Some((name, Histogram::of(values.iter().copied())?))
}

impl From<LogError> for RunError {
    fn from(error: LogError) -> Self {
        Self::Log(Box::new(error))
    }
}
