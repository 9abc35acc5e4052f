//! `metrics.jsonl`: one line per epoch.

use crate::error::{FolderError, RunError};
use crate::signal::{NoSignal, SampleSpread};
use ddpo_algorithm::report::UpdateReport;
use ddpo_files::write_file;
use ddpo_rollout::score::ScoredTrajectory;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Mean, standard deviation, minimum and maximum of an epoch's rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RewardSummary {
    /// Mean reward.
    pub reward_mean: f64,
    /// Unbiased standard deviation of the rewards.
    pub reward_std: f64,
    /// Lowest reward.
    pub reward_min: f32,
    /// Highest reward.
    pub reward_max: f32,
}

impl RewardSummary {
    /// Summarises `rewards`, which must not be empty.
    pub fn of(rewards: &[f32]) -> Self {
        let n = rewards.len() as f64;
        let mean = rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / n;
        let squares = rewards.iter().map(|&r| (f64::from(r) - mean).powi(2)).sum::<f64>();
        Self {
            reward_mean: mean,
            reward_std: (squares / (n - 1.0).max(1.0)).sqrt(),
            reward_min: rewards.iter().copied().fold(f32::INFINITY, f32::min),
            reward_max: rewards.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

/// Mean and standard deviation of one component of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentSummary {
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub std: f64,
}

/// Components by their names.
pub type Components = BTreeMap<String, ComponentSummary>;

/// Summarises every component of the scores.
pub fn components(scored: &[ScoredTrajectory]) -> Components {
    let mut values: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for component in scored.iter().flat_map(|one| &one.score.components) {
        values.entry(&component.name).or_default().push(component.value);
    }
    let summary = |(name, values): (&str, Vec<f32>)| {
        let RewardSummary { reward_mean: mean, reward_std: std, .. } = RewardSummary::of(&values);
        (name.to_owned(), ComponentSummary { mean, std })
    };
    values.into_iter().map(summary).collect()
}

/// Wall time and rates of each stage of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Seconds of denoising.
    pub seconds_sampling: f64,
    /// Seconds of scoring, which mostly overlaps the denoising of the next batch.
    pub seconds_scoring: f64,
    /// Seconds of the update.
    pub seconds_training: f64,
    /// Trajectories per second of the epoch's wall time without evaluation.
    pub samples_per_second: f64,
    /// Floating-point operations per second of denoising (convolutions, linear maps and attention); absent
    /// if samplers are services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_sampling: Option<f64>,
    /// Floating-point operations per second of the update, including backward passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_training: Option<f64>,
}

/// One line of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs completed, including this one.
    pub epoch: u32,
    /// Version of the weights after the epoch.
    pub policy_version: u64,
    /// The epoch's rewards.
    #[serde(flatten)]
    pub rewards: RewardSummary,
    /// Mean and standard deviation of each component of the rewards, if the scores have components.
    #[serde(default, skip_serializing_if = "Components::is_empty")]
    pub components: Components,
    /// The report of the update.
    #[serde(flatten)]
    pub update: UpdateReport,
    /// Mean evaluation reward after the epoch, if there was an evaluation.
    pub eval_reward_mean: Option<f64>,
    /// Mean and standard deviation of each component of the evaluation scores, including held-out rewards.
    #[serde(default, skip_serializing_if = "Components::is_empty")]
    pub eval_components: Components,
    /// Share of the first evaluation's diversity that the evaluation after the epoch keeps: the excess of the
    /// Vendi score over 1, the lower of pixels and contrast-normalised pixels. Absent without an evaluation, or
    /// for fewer than 32 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity_kept: Option<f64>,
    /// Whether the checkpoint after the epoch became the best one; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_best: bool,
    /// How the images of the samples differ.
    #[serde(flatten)]
    pub spread: SampleSpread,
    /// Why the epoch taught little or nothing: constant_reward, zero_gradient, equal_samples (all samples are
    /// one image) or saturated_samples (99 % of the pixel levels are 0 or 255); absent if it taught something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_signal: Vec<NoSignal>,
    /// The wall time and rates of the stages.
    #[serde(flatten)]
    pub seconds: Seconds,
    /// Peak resident memory of the process so far, bytes.
    pub peak_memory_bytes: u64,
    /// Peak memory of tensors on the run's GPU so far, bytes; absent on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_device_memory_bytes: Option<u64>,
}

/// The metrics file and its lines.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    text: String,
}

impl MetricsFile {
    /// Opens the file with the lines of the first `epochs` epochs and drops later lines.
    ///
    /// # Errors
    /// [`FolderError::Io`] if it cannot be read.
    pub fn open(path: &Path, epochs: u32) -> Result<Self, FolderError> {
        let mut text = String::new();
        if epochs > 0 {
            let found = std::fs::read_to_string(path).map_err(FolderError::io("read", path))?;
            let kept = found.lines().take_while(|line| {
                let parsed: Result<EpochMetrics, _> = serde_json::from_str(line);
                parsed.is_ok_and(|metrics| metrics.epoch <= epochs)
            });
            kept.for_each(|line| text.extend([line, "\n"]));
        }
        Ok(Self { path: path.into(), text })
    }

    /// Returns the last line.
    pub fn last(&self) -> Option<EpochMetrics> {
        serde_json::from_str(self.text.lines().last()?).ok()
    }

    /// Returns all lines.
    pub fn lines(&self) -> Vec<EpochMetrics> {
        self.text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`RunError::Write`] if the file cannot be written.
    pub fn push(&mut self, metrics: &EpochMetrics) -> Result<(), RunError> {
        self.text += &serde_json::to_string(metrics)?;
        self.text.push('\n');
        Ok(write_file(&self.path, self.text.as_bytes())?)
    }
}
