//! The norm of each pair's gradient at the model's output, from values that a pass has computed
//! already. It shows which steps dominate the update.

use crate::config::{LearnerConfig, Objective};
use crate::epoch::Epoch;
use crate::objective::is_far;
use crate::pairs::Pair;
use crate::pass::PassOutput;
use crate::step_weights::expected_gradient;
use ddpo_diffusion::scheduler::Transitions;

/// Returns the norms for `pairs`, up to a factor that all pairs share, and without the KL from the
/// pretrained model.
///
/// On the density of a step: weight |A| r |d mean / d output| / sigma times the root mean square of
/// (x_{t-1} - mean) / sigma, and 0 where the clip or the trust region stops the gradient. On the forward
/// process: |A| times the root mean squared error.
pub fn output_gradients(
    config: &LearnerConfig,
    transitions: &Transitions,
    step_weights: &[f64],
    epoch: &Epoch<'_>,
    pairs: &[Pair],
    output: &PassOutput,
) -> Vec<f64> {
    let dimensions = epoch.trajectories[0].header().shape.elements();
    let norm = |(index, pair): (usize, &Pair)| {
        let advantage = f64::from(epoch.advantages[pair.trajectory]);
        if config.objective == Objective::Forward {
            return advantage.abs() * f64::from(output.errors[index]).sqrt();
        }
        let log_ratio = f64::from(output.log_ratios[index]);
        let has_bound = config.objective != Objective::ScoreFunction;
        let is_outward = advantage * log_ratio > 0.0;
        if has_bound && is_outward && is_far(config, dimensions, log_ratio, output.moved.get(index))
        {
            return 0.0;
        }
        let sigma = transitions.coefficients()[pair.step].sigma;
        let log_prob = f64::from(epoch.clip_log_prob(pair)) + log_ratio;
        let square = -2.0 * (log_prob + sigma.ln()) - std::f64::consts::TAU.ln();
        let scale = step_weights[pair.step] * expected_gradient(transitions, pair.step);
        scale * advantage.abs() * square.max(0.0).sqrt()
    };
    pairs.iter().enumerate().map(norm).collect()
}
