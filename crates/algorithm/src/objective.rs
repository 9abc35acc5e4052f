//! The objectives of DDPO: the ratio, its clip, and the loss of each (sample, step) pair.

use crate::config::Objective;
use tch::Tensor;

/// The inputs of the losses: f32 `[P]` each, log-probabilities in the unit of `log_prob`.
#[derive(Debug)]
pub struct LossInputs<'a> {
    /// log p_new, under the weights being trained; the gradient flows through it.
    pub log_prob: &'a Tensor,
    /// log p_proximal, under the weights before the first optimizer step of the epoch. For objectives
    /// other than the decoupled one it is log p_old, as the sampler recorded it or as the learner took it
    /// anew.
    pub proximal_log_prob: &'a Tensor,
    /// log p_old, under the weights that made the trajectory, as the sampler recorded it.
    pub old_log_prob: &'a Tensor,
    /// The advantage A, standardised and clipped.
    pub advantage: &'a Tensor,
}

/// The bounds of ratios, in the unit of `log_prob`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// e: the ratio is clipped to [1 - e, 1 + e].
    pub clip_ratio: f64,
    /// c: the importance weight of the decoupled objective is at most this.
    pub importance_cap: f64,
}

/// Returns the loss of each pair, f32 `[P]`.
///
/// - [`Objective::ClippedIs`]: max(-A r, -A clip(r, 1 - e, 1 + e)) with r = p_new / p_old
///   (DDPO-IS, Black et al. 2023, equation 5, with the clip of PPO, Schulman et al. 2017,
///   equation 7).
/// - [`Objective::ScoreFunction`]: -A log p_new (DDPO-SF, Black et al. 2023, equation 4).
/// - [`Objective::Decoupled`]: min(p_proximal / p_old, c) times the clipped loss with
///   r = p_new / p_proximal (Hilton et al. 2021, section 3). The cap c bounds the variance of old
///   samples, as IMPALA's truncated weights do (Espeholt et al. 2018, section 4.1).
pub fn losses(objective: Objective, inputs: &LossInputs<'_>, limits: Limits) -> Tensor {
    let cost = inputs.advantage.neg();
    match objective {
        Objective::ScoreFunction => cost * inputs.log_prob,
        Objective::ClippedIs => {
            let log_ratio = inputs.log_prob - inputs.proximal_log_prob;
            clipped(&cost, &log_ratio, limits.clip_ratio)
        }
        Objective::Decoupled => {
            let drift = inputs.proximal_log_prob - inputs.old_log_prob;
            let weight = drift.exp().clamp_max(limits.importance_cap);
            let log_ratio = inputs.log_prob - inputs.proximal_log_prob;
            weight * clipped(&cost, &log_ratio, limits.clip_ratio)
        }
    }
}

/// PPO's clipped surrogate as a loss: max(cost r, cost clip(r, 1 - clip, 1 + clip)).
fn clipped(cost: &Tensor, log_ratio: &Tensor, clip: f64) -> Tensor {
    let ratio = log_ratio.exp();
    let clipped = cost * ratio.clamp(1.0 - clip, 1.0 + clip);
    (cost * ratio).maximum(&clipped)
}
