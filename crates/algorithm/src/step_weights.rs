//! The weight of each denoising step in the loss.

use ddpo_diffusion::scheduler::Transitions;
use serde::{Deserialize, Serialize};

/// How the loss of a pair depends on its step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepWeights {
    /// Every step has weight 1. The narrower the density of a step, the larger its gradient: one
    /// nearly deterministic step outweighs all others.
    #[default]
    Density,
    /// Every step has the same expected gradient at the model's output.
    Uniform,
}

/// Returns the weight of each step of `transitions` by step index, with mean 1 over the random steps.
///
/// The log-density of a step is -|x_{t-1} - mean|^2 / (2 sigma^2). With x_{t-1} - mean = sigma z, its
/// gradient at the model's output is z (d mean / d output) / sigma. [`StepWeights::Uniform`] multiplies
/// it by sigma / |d mean / d output| (PCPO, arXiv 2509.25774, section 4).
pub fn step_weights(kind: StepWeights, transitions: &Transitions) -> Vec<f64> {
    let steps = transitions.coefficients().len();
    let random = transitions.random_steps();
    let raw = |step: usize| match kind {
        StepWeights::Density => 1.0,
        StepWeights::Uniform => {
            let sensitivity = transitions.output_sensitivity(step);
            transitions.coefficients()[step].sigma / sensitivity.max(f64::MIN_POSITIVE)
        }
    };
    let mean = random.iter().map(|&step| raw(step)).sum::<f64>() / random.len().max(1) as f64;
    let mut weights = vec![0.0; steps];
    random.iter().for_each(|&step| weights[step] = raw(step) / mean);
    weights
}

/// Returns the expected norm of the gradient that the log-density of a step has at the model's output,
/// for a pair with weight 1 and advantage 1: |d mean / d output| / sigma. 0 for a deterministic step.
pub fn expected_gradient(transitions: &Transitions, step: usize) -> f64 {
    let sigma = transitions.coefficients()[step].sigma;
    if sigma > 0.0 { transitions.output_sensitivity(step) / sigma } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_diffusion::scheduler::SchedulerKind;
    use ddpo_diffusion::scheduler::config::SchedulerConfig;

    /// Returns each random step's share of the expected gradient, for a schedule like that of
    /// google/ddpm-* (leading timesteps).
    fn shares(kind: StepWeights, steps: usize) -> Vec<f64> {
        let config = SchedulerConfig { timestep_spacing: "leading".into(), ..Default::default() };
        let transitions = Transitions::new(SchedulerKind::Ddim, &config, steps, 1.0).unwrap();
        let weights = step_weights(kind, &transitions);
        let norms = transitions.random_steps().into_iter();
        let norms: Vec<f64> =
            norms.map(|step| weights[step] * expected_gradient(&transitions, step)).collect();
        let total: f64 = norms.iter().sum();
        norms.into_iter().map(|norm| norm / total).collect()
    }

    fn largest(shares: &[f64]) -> f64 {
        shares.iter().copied().fold(0.0, f64::max)
    }

    /// T = 40 and 10 divide the 1000 timesteps; 30 and 60 do not.
    #[test]
    fn uniform_weights_give_every_step_the_same_share() {
        for steps in [10, 30, 40, 60] {
            let uniform = shares(StepWeights::Uniform, steps);
            let expected = 1.0 / uniform.len() as f64;
            assert!(uniform.iter().all(|share| (share / expected - 1.0).abs() < 1e-9));
        }
    }

    #[test]
    fn one_step_outweighs_the_others_without_weights() {
        for steps in [10, 40] {
            let density = shares(StepWeights::Density, steps);
            assert!(largest(&density) > 3.0 / density.len() as f64, "{}", largest(&density));
        }
    }

    #[test]
    fn weights_have_mean_one() {
        let transitions =
            Transitions::new(SchedulerKind::Ddim, &SchedulerConfig::default(), 10, 1.0).unwrap();
        let weights = step_weights(StepWeights::Uniform, &transitions);
        let random = transitions.random_steps();
        let mean = random.iter().map(|&step| weights[step]).sum::<f64>() / random.len() as f64;
        assert!((mean - 1.0).abs() < 1e-12);
    }
}
