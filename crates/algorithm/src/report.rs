//! What an epoch of updates is summed up by.

use serde::{Deserialize, Serialize};

/// Means over all trained pairs of an epoch, and what the optimizer did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs whose ratio lies outside the clip.
    pub clip_fraction: f64,
    /// Mean ratio of new to old probability, in the objective's unit. Old is what the objective
    /// clips against: the weights that sampled, or those before the first update if decoupled.
    pub ratio_mean: f64,
    /// Largest |ratio - 1| before the first update, log-probabilities as means over dimensions.
    /// Samples of older weights count in the decoupled objective only, against a second pass.
    pub ratio_gap_max: f64,
    /// The same for each random step, in the order of the steps.
    pub ratio_gap_by_step: Vec<f64>,
    /// Mean of (r - 1) - ln r, the k3 estimate of KL(old || new), in the objective's unit.
    pub approx_kl: f64,
    /// Mean absolute log-ratio, nats a dimension.
    pub log_ratio_abs: f64,
    /// Mean absolute log-ratio, nats a transition (all dimensions).
    pub log_ratio_abs_nats: f64,
    /// Mean exact divergence from the pretrained model, nats a transition; absent if not computed.
    pub kl_to_pretrained_nats: Option<f64>,
    /// Mean gradient norm before the clip.
    pub grad_norm: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Optimizer steps of the epoch.
    pub optimizer_steps: u64,
    /// Pairs trained, each inner epoch counted.
    pub pairs: u64,
    /// The same by the age of the weights that sampled; nothing where all were the learner's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staleness: Vec<LagReport>,
}

/// The single values behind a report's means, for histograms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// The advantage of every trajectory, in the order of the samples, clipped.
    pub advantages: Vec<f32>,
    /// The ratio of new to old probability of every pair that was trained, in the objective's unit.
    pub ratios: Vec<f32>,
}

/// What an epoch of updates came to for trajectories of one age.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LagReport {
    /// How many versions older than the learner's the weights were.
    pub lag: u64,
    /// Trajectories of that age.
    pub trajectories: u64,
    /// Share of their pairs whose ratio lies outside the clip.
    pub clip_fraction: f64,
    /// Their mean ratio, against the same old probability as the report's.
    pub ratio_mean: f64,
    /// Mean importance weight, as cut, of the decoupled objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_mean: Option<f64>,
    /// Share of pairs whose importance weight was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_cut_fraction: Option<f64>,
}

impl LagReport {
    /// The means of `sums`; those of the importance weight where the objective has one.
    #[must_use]
    pub fn of(lag: u64, sums: &LagSums, decoupled: bool) -> Self {
        let mean = |sum: f64| sum / sums.pairs.max(1) as f64;
        Self {
            lag,
            trajectories: sums.trajectories,
            clip_fraction: mean(sums.clipped),
            ratio_mean: mean(sums.ratio),
            importance_mean: decoupled.then(|| mean(sums.importance)),
            importance_cut_fraction: decoupled.then(|| mean(sums.cut)),
        }
    }
}

/// Sums over the pairs of one age.
#[derive(Clone, Copy, Debug, Default)]
pub struct LagSums {
    /// Number of trajectories.
    pub trajectories: u64,
    /// Number of pairs.
    pub pairs: u64,
    /// Number of clipped ratios.
    pub clipped: f64,
    /// Sum of ratios.
    pub ratio: f64,
    /// Sum of importance weights, as cut.
    pub importance: f64,
    /// Number of importance weights that were cut.
    pub cut: f64,
}

/// Sums over pairs, to become means.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Number of pairs.
    pub pairs: u64,
    /// Sum of losses.
    pub loss: f64,
    /// Number of clipped ratios.
    pub clipped: f64,
    /// Sum of ratios.
    pub ratio: f64,
    /// Sum of k3.
    pub k3: f64,
    /// Sum of |log-ratio|, nats a dimension.
    pub log_ratio_abs: f64,
    /// Sum of the divergence from the pretrained model, nats a dimension.
    pub kl: f64,
    /// Sum of gradient norms over optimizer steps.
    pub gradient_norm: f64,
}
