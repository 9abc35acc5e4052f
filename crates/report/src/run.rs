//! Reads a run folder: settings, metrics of each epoch, rewards of each evaluation.

use crate::error::ReportError;
use crate::files::read_text;
use crate::table::Table;
use ddpo_rollout::reward::RewardExpression;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// File with one line per epoch.
pub const METRICS: &str = "metrics.jsonl";
/// File with one line per evaluation.
pub const EVALUATIONS: &str = "eval/rewards.jsonl";

/// The files of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The folder.
    pub root: PathBuf,
    /// `run.toml`.
    pub settings: toml::Table,
    /// `metrics.jsonl`.
    pub epochs: Vec<Epoch>,
    /// `eval/rewards.jsonl`.
    pub evaluations: Vec<EvaluationLine>,
}

/// The fields of a line of `metrics.jsonl` that a report uses.
#[derive(Clone, Debug, Deserialize)]
pub struct Epoch {
    /// Epochs completed.
    pub epoch: u32,
    /// Mean reward of the training samples.
    pub reward_mean: f64,
    /// Their standard deviation.
    pub reward_std: f64,
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs outside the clip range.
    pub clip_fraction: f64,
    /// Estimate of the divergence from the sampling policy.
    pub approx_kl: f64,
    /// Mean KL divergence from the pretrained model during the epoch's updates, in nats per transition.
    pub kl_to_pretrained_nats: Option<f64>,
    /// Share of the first evaluation's diversity that the evaluation after the epoch keeps.
    pub diversity_kept: Option<f64>,
    /// Standard deviation of the diversity term in the advantages, with `diversity_coef`.
    pub diversity_std: Option<f64>,
    /// Mean diffusion loss on anchors.
    pub anchor_error: Option<f64>,
    /// Mean gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds of denoising.
    pub seconds_sampling: f64,
    /// Seconds of scoring.
    pub seconds_scoring: f64,
    /// Seconds of updating.
    pub seconds_training: f64,
    /// Trajectories per second.
    pub samples_per_second: f64,
    /// Floating-point operations a second while denoising, where this process denoised.
    pub flops_sampling: Option<f64>,
    /// Floating-point operations a second while updating; older runs have none.
    pub flops_training: Option<f64>,
    /// Peak memory so far.
    pub peak_memory_bytes: u64,
}

/// A line of `eval/rewards.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub struct EvaluationLine {
    /// Epochs completed before it.
    pub epoch: u32,
    /// Mean reward.
    pub reward_mean: f64,
    /// Standard deviation.
    pub reward_std: f64,
}

impl Run {
    /// Reads the folder of a run of one process or of the services.
    ///
    /// # Errors
    /// [`ReportError::NoRun`], [`ReportError::NoEpochs`], [`ReportError::Io`] and [`ReportError::File`].
    pub fn read(root: &Path) -> Result<Self, ReportError> {
        match Self::so_far(root)? {
            run if run.epochs.is_empty() => Err(ReportError::NoEpochs(root.into())),
            run => Ok(run),
        }
    }

    /// Reads the folder of a run that may have no finished epoch yet.
    ///
    /// # Errors
    /// [`ReportError::NoRun`], [`ReportError::Io`] and [`ReportError::File`].
    pub fn so_far(root: &Path) -> Result<Self, ReportError> {
        let path = root.join("run.toml");
        if !path.is_file() {
            return Err(ReportError::NoRun(root.into()));
        }
        let mut settings = read_text(&path)?
            .parse::<toml::Table>()
            .map_err(|error| ReportError::file(&path, error.message()))?;
        // Tables record facts of the run; settings are plain values.
        settings.retain(|_, value| !value.is_table());
        let path = root.join(METRICS);
        let epochs = if path.is_file() { lines(&path)? } else { Vec::new() };
        let path = root.join(EVALUATIONS);
        let evaluations = if path.is_file() { lines(&path)? } else { Vec::new() };
        Ok(Self { root: root.into(), settings, epochs, evaluations })
    }

    /// Returns a setting as text; empty if it is not set.
    pub fn setting(&self, key: &str) -> String {
        match self.settings.get(key) {
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// Returns a numeric setting.
    pub fn number(&self, key: &str) -> Option<f64> {
        let value = self.settings.get(key)?;
        value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
    }

    /// Returns the reward expression, or the task if there is none.
    pub fn reward(&self) -> String {
        match self.setting("reward") {
            empty if empty.is_empty() => self.setting("task"),
            reward => reward,
        }
    }

    /// Returns whether the reward uses a network that embeds images.
    pub fn reward_has_network(&self) -> bool {
        let reward = self.reward().parse::<RewardExpression>();
        reward.is_ok_and(|reward| reward.network_task().is_some())
    }

    /// Returns the unit of the reward.
    pub fn reward_unit(&self) -> &'static str {
        match self.reward().as_str() {
            "jpeg compressibility" => "\u{2212}kB",
            "jpeg incompressibility" => "kB",
            "aesthetic score" => "score",
            "over50 years old" | "under30 years old" => match self.setting("age_reward").as_str() {
                "probability" => "probability",
                "log-odds" => "nats",
                _ => "logits",
            },
            reward if reward.contains([' ', '*']) => "weighted sum",
            _ => "its own unit",
        }
    }

    /// Reads the table of the evaluation after `epoch` epochs.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn evaluation_table(&self, epoch: u32) -> Result<Table, ReportError> {
        Table::read(&self.root.join(format!("eval/epoch-{epoch:06}.csv")))
    }

    /// Returns the path of the grid of the evaluation after `epoch` epochs.
    pub fn evaluation_grid(&self, epoch: u32) -> PathBuf {
        self.root.join(format!("eval/epoch-{epoch:06}.png"))
    }

    /// Returns the name of the folder.
    pub fn name(&self) -> String {
        let whole = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        whole.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    let text = read_text(path)?;
    let line = |(at, line)| {
        let refused = |error| ReportError::file(path, format!("line {}: {error}", at + 1));
        serde_json::from_str(line).map_err(refused)
    };
    text.lines().enumerate().map(line).collect()
}
