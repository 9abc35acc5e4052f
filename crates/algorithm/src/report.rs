//! The diagnostics of an epoch's updates. Field names are keys of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// Means over all pairs trained in an epoch, and values of its optimizer steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs with |ratio - 1| > `clip_ratio`.
    pub clip_fraction: f64,
    /// Mean ratio of new to old probability, in the unit of `log_prob`. Old is the policy that the
    /// objective clips against: the sampling policy, or the proximal one if decoupled.
    pub ratio_mean: f64,
    /// Largest |ratio - 1| before the first optimizer step, log-probabilities as means over
    /// dimensions. Samples of older weights count in the decoupled objective only, against a second
    /// pass.
    pub ratio_gap_max: f64,
    /// `ratio_gap_max` for each random step, in the order of the steps.
    pub ratio_gap_by_step: Vec<f64>,
    /// Mean of (r - 1) - ln r, the k3 estimate of KL(old || new), in the unit of `log_prob`.
    pub approx_kl: f64,
    /// Mean |log-ratio|, nats a dimension.
    pub log_ratio_abs: f64,
    /// Mean |log-ratio|, nats a transition (all dimensions).
    pub log_ratio_abs_nats: f64,
    /// Mean exact KL from the pretrained model, nats a transition; absent if not computed.
    pub kl_to_pretrained_nats: Option<f64>,
    /// Mean gradient norm before the clip.
    pub grad_norm: f64,
    /// Learning rate of the last optimizer step.
    pub lr: f64,
    /// Optimizer steps of the epoch.
    pub optimizer_steps: u64,
    /// Pairs trained; a pair counts once for each pass.
    pub pairs: u64,
    /// Diagnostics by lag; empty if all trajectories were made with the learner's present weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staleness: Vec<LagReport>,
}

/// Means over the pairs of one lag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LagReport {
    /// The number of versions that the weights were behind the learner's.
    pub lag: u64,
    /// Trajectories of this lag.
    pub trajectories: u64,
    /// Share of pairs with |ratio - 1| > `clip_ratio`.
    pub clip_fraction: f64,
    /// Mean ratio, against the same old policy as [`UpdateReport::ratio_mean`].
    pub ratio_mean: f64,
    /// Mean importance weight of the decoupled objective, capped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_mean: Option<f64>,
    /// Share of pairs whose importance weight was above the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance_cut_fraction: Option<f64>,
}

/// The single values behind a report's means, for histograms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateSamples {
    /// The advantage of each trajectory, in sample order, clipped.
    pub advantages: Vec<f32>,
    /// The ratio of new to old probability of each pair, in the order of training and the unit of
    /// `log_prob`.
    pub ratios: Vec<f32>,
}
