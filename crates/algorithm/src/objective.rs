//! The objectives: the data that each needs, and the loss of each trained pair.
//!
//! To add an objective, add a variant of [`Objective`], its row in [`Objective::contract`], and its
//! loss. [`policy_gradient_losses`] has the losses on the density of a denoising step,
//! [`crate::forward`] the losses on the forward process.

use crate::config::{LearnerConfig, Objective, TrustRegion};
use ddpo_rollout::chain::NeededStates;
use tch::Tensor;

/// The data that an objective needs. Samplers keep and send these states, and recorded batches
/// contain them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The states of a trajectory that the objective trains on.
    pub states: NeededStates,
    /// Whether the objective needs the log-probabilities of random steps, and therefore eta above
    /// 0.
    pub log_probs: bool,
    /// Whether the objective corrects for weights that have changed since the samples were drawn.
    /// If not, the samples must be drawn with the current weights.
    pub off_policy: bool,
    /// The second policy that the objective evaluates.
    pub other: OtherPolicy,
}

/// A policy that an objective compares with the trained policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPolicy {
    /// The sampling policy, by the log-probabilities recorded with the samples.
    Sampling,
    /// The learner's policy before the first optimizer step of the epoch, by one more forward pass.
    Proximal,
    /// A second set of weights, by one more forward pass.
    Weights,
}

impl Objective {
    /// Returns what the objective needs.
    #[must_use]
    pub fn contract(self) -> Contract {
        let on_density = Contract {
            states: NeededStates::Steps,
            log_probs: true,
            off_policy: true,
            other: OtherPolicy::Sampling,
        };
        match self {
            Self::ClippedIs => on_density,
            Self::Decoupled => Contract { other: OtherPolicy::Proximal, ..on_density },
            Self::ScoreFunction => Contract { off_policy: false, ..on_density },
            Self::Forward => Contract {
                states: NeededStates::Image,
                log_probs: false,
                other: OtherPolicy::Weights,
                ..on_density
            },
        }
    }
}

/// The inputs of the losses on the density of a step: f32 `[P]` each, log-probabilities and divergence
/// in the unit of `log_prob` unless they say nats.
#[derive(Debug)]
pub struct LossInputs<'a> {
    /// log p_new, under the weights being trained; the gradient flows through it.
    pub log_prob: &'a Tensor,
    /// log p_proximal, under the weights before the first optimizer step of the epoch. For all
    /// objectives but the decoupled one it is log p_old, recorded by the sampler or recomputed by
    /// the learner.
    pub proximal_log_prob: &'a Tensor,
    /// log p_proximal - log p_old, in nats (summed over dimensions); p_old is the sampling policy.
    pub drift_nats: &'a Tensor,
    /// KL(p_old || p_new) of the step, in nats; needed by [`TrustRegion::Kl`].
    pub moved_nats: Option<&'a Tensor>,
    /// The advantage A, standardised and clipped.
    pub advantage: &'a Tensor,
}

/// The bounds of ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The limit on the policy's change.
    pub trust_region: TrustRegion,
    /// e: the ratio is clipped to [1 - e, 1 + e], in the unit of `log_prob`.
    pub clip_ratio: f64,
    /// d: with [`TrustRegion::Kl`], a pair whose step has moved by more than d nats and moves further
    /// away has no gradient.
    pub kl_limit: f64,
    /// c: the importance weight of the decoupled objective is at most this.
    pub importance_cap: f64,
}

/// Returns the loss of each pair, f32 `[P]`, for an objective on the density of a step.
///
/// - [`Objective::ClippedIs`]: max(-A r, -A clip(r, 1 - e, 1 + e)) with r = p_new / p_old
///   (DDPO-IS, Black et al. 2023, equation 5, with the clip of PPO, Schulman et al. 2017,
///   equation 7). With [`TrustRegion::Kl`]: -A r, without gradient for the pairs [`outside`] the
///   region (Flow-DPPO, arXiv 2606.11025).
/// - [`Objective::ScoreFunction`]: -A log p_new (DDPO-SF, Black et al. 2023, equation 4).
/// - [`Objective::Decoupled`]: min(p_proximal / p_old, c) times the clipped loss with
///   r = p_new / p_proximal (Hilton et al. 2021, section 3). The importance weight is the ratio of
///   the joint densities, in nats whatever the unit of `log_prob`: a mean over dimensions would be
///   about 1 for any drift. The cap c bounds its variance, as IMPALA's truncated weights do (Espeholt
///   et al. 2018, section 4.1).
pub fn policy_gradient_losses(
    objective: Objective,
    inputs: &LossInputs<'_>,
    limits: Limits,
) -> Tensor {
    let cost = inputs.advantage.neg();
    if objective == Objective::ScoreFunction {
        return cost * inputs.log_prob;
    }
    let log_ratio = inputs.log_prob - inputs.proximal_log_prob;
    let loss = match (limits.trust_region, inputs.moved_nats) {
        (TrustRegion::Kl, Some(moved)) => {
            let outside = outside(inputs.advantage, &log_ratio, moved, limits.kl_limit);
            let surrogate = cost * log_ratio.exp();
            surrogate.detach().where_self(&outside, &surrogate)
        }
        _ => clipped(&cost, &log_ratio, limits.clip_ratio),
    };
    match objective {
        Objective::Decoupled => {
            let weight = inputs.drift_nats.exp().clamp_max(limits.importance_cap);
            weight * loss
        }
        _ => loss,
    }
}

/// Returns which pairs are outside the trust region, bool `[P]`: their step has moved by more than
/// `limit` nats, and the gradient would move it further (A (r - 1) > 0).
pub fn outside(advantage: &Tensor, log_ratio: &Tensor, moved_nats: &Tensor, limit: f64) -> Tensor {
    let is_far = moved_nats.detach().gt(limit);
    let is_outward = (advantage * log_ratio.detach()).gt(0.0);
    is_far.logical_and(&is_outward)
}

/// Returns whether a pair has left the clip or, with [`TrustRegion::Kl`], its step has moved by more than
/// the limit: the bound of [`policy_gradient_losses`] for one pair, in either direction.
/// `log_ratio` is a mean over `dimensions`, `moved_nats` the KL of its step.
pub(crate) fn is_far(
    config: &LearnerConfig,
    dimensions: usize,
    log_ratio: f64,
    moved_nats: Option<&f32>,
) -> bool {
    match (config.trust_region, moved_nats) {
        (TrustRegion::Kl, Some(&moved)) => f64::from(moved) > config.kl_limit,
        _ => {
            let factor = config.log_prob.factor(dimensions);
            (log_ratio * factor).exp_m1().abs() > config.clip_ratio
        }
    }
}

/// PPO's clipped surrogate as a loss: max(cost r, cost clip(r, 1 - clip, 1 + clip)).
pub(crate) fn clipped(cost: &Tensor, log_ratio: &Tensor, clip: f64) -> Tensor {
    let ratio = log_ratio.exp();
    let clipped = cost * ratio.clamp(1.0 - clip, 1.0 + clip);
    (cost * ratio).maximum(&clipped)
}
