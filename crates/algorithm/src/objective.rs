//! The losses, one value a (sample, step) pair.

use crate::config::Objective;
use tch::Tensor;

/// What the losses are made of; each `[P]` f32, log-probabilities in the objective's unit.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Under the weights being trained; the gradient flows here.
    pub log_prob: &'a Tensor,
    /// Under the weights before the epoch's first update. Only the decoupled objective tells them
    /// from those that made the trajectory.
    pub proximal_log_prob: &'a Tensor,
    /// Under the weights that made the trajectory.
    pub old_log_prob: &'a Tensor,
    /// Standardised and clipped.
    pub advantage: &'a Tensor,
}

/// Where ratios are cut, in the objective's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The ratio is clipped to 1 plus and minus this.
    pub clip_ratio: f64,
    /// The decoupled objective's importance weight is at most this.
    pub importance_cap: f64,
}

/// Loss of each pair, `[P]` f32.
///
/// Clipped: max(-A r, -A clip(r, 1 - e, 1 + e)) with r = exp(new - old) (Black et al. 2023,
/// equation 5 with PPO's clip, Schulman et al. 2017, equation 7). Score function: -A log p
/// (Black et al. 2023, equation 4). Decoupled: min(exp(proximal - old), c) times the clipped loss
/// with r = exp(new - proximal) (Hilton et al. 2021, section 3; the cut at c, which bounds the
/// variance of old samples, is that of IMPALA's weights, Espeholt et al. 2018, section 4.1).
pub fn losses(objective: Objective, terms: &Terms<'_>, limits: Limits) -> Tensor {
    let cost = terms.advantage.neg();
    match objective {
        Objective::ScoreFunction => cost * terms.log_prob,
        Objective::ClippedIs => {
            clipped(&cost, &(terms.log_prob - terms.old_log_prob), limits.clip_ratio)
        }
        Objective::Decoupled => {
            let drift = terms.proximal_log_prob - terms.old_log_prob;
            let weight = drift.exp().clamp_max(limits.importance_cap);
            let log_ratio = terms.log_prob - terms.proximal_log_prob;
            weight * clipped(&cost, &log_ratio, limits.clip_ratio)
        }
    }
}

fn clipped(cost: &Tensor, log_ratio: &Tensor, clip: f64) -> Tensor {
    let ratio = log_ratio.exp();
    let clipped = cost * ratio.clamp(1.0 - clip, 1.0 + clip);
    (cost * ratio).maximum(&clipped)
}
