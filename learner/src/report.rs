//! What an epoch of updates is summed up by.

use serde::{Deserialize, Serialize};

/// Means over all trained pairs of an epoch, and what the optimizer did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs whose ratio lies outside the clip.
    pub clip_fraction: f64,
    /// Mean ratio of new to old probability, in the objective's unit.
    pub ratio_mean: f64,
    /// Largest |ratio - 1| before the first update, log-probabilities as means over dimensions.
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
