//! `metrics.jsonl`: a line an epoch.

use crate::error::{FolderError, RunError};
use ddpo_algorithm::report::UpdateReport;
use ddpo_files::write_file;
use ddpo_rollout::score::ScoredTrajectory;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Mean, spread and ends of an epoch's rewards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardSummary {
    /// Mean reward.
    pub reward_mean: f64,
    /// Unbiased standard deviation.
    pub reward_std: f64,
    /// Lowest reward.
    pub reward_min: f32,
    /// Highest reward.
    pub reward_max: f32,
}

impl RewardSummary {
    /// Sums up rewards; there is at least one.
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

/// Mean and spread of one component of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentSummary {
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub std: f64,
}

/// Components by their names.
pub type Components = BTreeMap<String, ComponentSummary>;

/// Sums up every component of these scores.
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

/// Wall time and rates of the stages of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Denoising.
    pub seconds_sampling: f64,
    /// Scoring, most of it while the next batch is denoised.
    pub seconds_scoring: f64,
    /// Updating.
    pub seconds_training: f64,
    /// Trajectories an epoch over the epoch's wall time, evaluation apart.
    pub samples_per_second: f64,
    /// Floating-point operations a second while denoising, of convolutions, linear maps and attention; absent
    /// where samplers are services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_sampling: Option<f64>,
    /// Floating-point operations a second while updating, backward passes included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_training: Option<f64>,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs completed, this one included.
    pub epoch: u32,
    /// Version of the weights after the epoch.
    pub policy_version: u64,
    /// The epoch's rewards.
    #[serde(flatten)]
    pub rewards: RewardSummary,
    /// What they were made of, if the scores tell.
    #[serde(default, skip_serializing_if = "Components::is_empty")]
    pub components: Components,
    /// The updates.
    #[serde(flatten)]
    pub update: UpdateReport,
    /// Mean evaluation reward after the epoch, if there was an evaluation.
    pub eval_reward_mean: Option<f64>,
    /// The components of its scores, those of held-out rewards among them.
    #[serde(default, skip_serializing_if = "Components::is_empty")]
    pub eval_components: Components,
    /// Where the time went, and how fast the stages were.
    #[serde(flatten)]
    pub seconds: Seconds,
    /// Largest resident memory of the process so far.
    pub peak_memory_bytes: u64,
    /// Most bytes that tensors have taken on the run's GPU so far; absent on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_device_memory_bytes: Option<u64>,
}

/// The file and its lines.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    text: String,
}

impl MetricsFile {
    /// Takes up the file with the lines of the first `epochs` epochs; later ones are dropped.
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

    /// The last line.
    pub fn last(&self) -> Option<EpochMetrics> {
        serde_json::from_str(self.text.lines().last()?).ok()
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
