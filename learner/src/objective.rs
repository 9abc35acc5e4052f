//! The losses, one value a (sample, step) pair.

use crate::config::Objective;
use tch::Tensor;

/// What the losses are made of; each `[P]` f32, log-probabilities in the objective's unit.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Under the weights being trained; the gradient flows here.
    pub log_prob: &'a Tensor,
    /// Under the weights that made the trajectory.
    pub old_log_prob: &'a Tensor,
    /// Standardised and clipped.
    pub advantage: &'a Tensor,
}

/// Loss of each pair, `[P]` f32.
///
/// Clipped: max(-A r, -A clip(r, 1 - e, 1 + e)) with r = exp(new - old) (Black et al. 2023,
/// equation 5 with PPO's clip, Schulman et al. 2017, equation 7). Score function: -A log p
/// (Black et al. 2023, equation 4).
pub fn losses(objective: Objective, terms: &Terms<'_>, clip: f64) -> Tensor {
    let cost = terms.advantage.neg();
    match objective {
        Objective::ScoreFunction => cost * terms.log_prob,
        Objective::ClippedIs => {
            let ratio = (terms.log_prob - terms.old_log_prob).exp();
            let clipped = &cost * ratio.clamp(1.0 - clip, 1.0 + clip);
            (cost * ratio).maximum(&clipped)
        }
    }
}
