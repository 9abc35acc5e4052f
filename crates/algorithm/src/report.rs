//! The diagnostics of an epoch's updates. Field names are keys of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// Means over all pairs trained in an epoch, and values of its optimizer steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Mean loss.
    pub loss: f64,
    /// Share of pairs with |ratio - 1| > `clip_ratio`.
    pub clip_fraction: f64,
    /// Mean ratio of new to old probability, in the unit of `log_prob`. The old policy is the
    /// sampling policy, or the proximal policy with the decoupled objective.
    pub ratio_mean: f64,
    /// Largest |ratio - 1| before the first optimizer step, with log-probabilities as means over
    /// dimensions. Samples of older weights count only with the decoupled objective, which compares
    /// two passes of the learner.
    pub ratio_gap_max: f64,
    /// `ratio_gap_max` for each random step, in the order of the steps.
    pub ratio_gap_by_step: Vec<f64>,
    /// `clip_fraction` of the pairs of the second optimizer step; absent if there was only one. A value near
    /// 1 means that the clip is too narrow for the learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_clip_fraction: Option<f64>,
    /// Mean of (r - 1) - ln r, the k3 estimate of KL(old || new), nats per transition.
    pub approx_kl: f64,
    /// Mean |log-ratio|, nats per dimension.
    pub log_ratio_abs: f64,
    /// Mean |log-ratio|, nats per transition (all dimensions).
    pub log_ratio_abs_nats: f64,
    /// Mean exact KL from the pretrained model over the pairs that the epoch's updates trained, each
    /// before the optimizer step that it contributes to; nats per transition, absent if not computed.
    pub kl_to_pretrained_nats: Option<f64>,
    /// Mean squared difference of predictions from the pretrained model's, mean over dimensions;
    /// forward objective only, absent if not computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_to_pretrained: Option<f64>,
    /// The weight of the distance from the pretrained model; absent if the distance was not
    /// computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_coef: Option<f64>,
    /// Mean squared error of predictions, mean over dimensions; forward objective only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denoising_error: Option<f64>,
    /// Mean diffusion loss on anchors: squared error of predictions, mean over dimensions; absent without
    /// anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_error: Option<f64>,
    /// Mean similarity of the epoch's samples to each other, 0 to 1, relative to their median distance; absent
    /// without `diversity_coef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// Standard deviation over the epoch's samples of the diversity term in their advantages, where that of
    /// the reward is about 1; absent without `diversity_coef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity_std: Option<f64>,
    /// Mean gradient norm before the clip.
    pub grad_norm: f64,
    /// Learning rate of the last optimizer step.
    pub lr: f64,
    /// Optimizer steps of the epoch.
    pub optimizer_steps: u64,
    /// Pairs trained; a pair counts once for each pass.
    pub pairs: u64,
    /// Diagnostics by lag; empty if all trajectories were drawn with the learner's current weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staleness: Vec<LagReport>,
    /// Diagnostics by trained step, from high noise to low; for the forward objective, by part of
    /// the noise levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
}

/// Means over the pairs of one denoising step, or of one part of the noise levels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The timestep; for a part of the noise levels, the largest.
    pub timestep: i64,
    /// The step's share of the gradient norm at the model's output, summed over pairs.
    pub gradient_share: f64,
    /// Share of its pairs outside the clip or the trust region.
    pub clip_fraction: f64,
    /// Mean of the k3 estimate of KL(old || new), nats per transition; 0 for the forward objective.
    pub approx_kl: f64,
    /// Mean squared error of predictions, mean over dimensions; forward objective only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denoising_error: Option<f64>,
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

/// The values whose means a report contains, for histograms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateSamples {
    /// The advantage of each trajectory, in sample order, clipped.
    pub advantages: Vec<f32>,
    /// The ratio of new to old probability of each pair, in the order of training and the unit of
    /// `log_prob`.
    pub ratios: Vec<f32>,
}
