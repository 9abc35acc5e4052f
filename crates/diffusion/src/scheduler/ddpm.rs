//! DDPM's coefficients (diffusers `schedulers/scheduling_ddpm.py`, `step`).

use crate::scheduler::coefficients::{Coefficients, prediction};
use crate::scheduler::config::SchedulerConfig;

/// Returns the coefficients of each DDPM step from t to the next visited timestep u, or to x_0 after the
/// last (Ho et al. 2020, equations 6 and 7; alpha is cumulative, beta = 1 - alpha_t / alpha_u):
///
/// ```text
/// mean     = sqrt(alpha_u) beta / (1 - alpha_t) image + sqrt(1 - beta) (1 - alpha_u) / (1 - alpha_t) x_t
/// sigma^2  = (1 - alpha_u) / (1 - alpha_t) beta     (fixed_small, fixed_small_log)
///          = beta                                   (fixed_large)
///          = 0                                      (at t = 0)
/// ```
pub fn coefficients(
    config: &SchedulerConfig,
    alphas: &[f64],
    timesteps: &[i64],
) -> Vec<Coefficients> {
    let at = |t: Option<&i64>| t.map_or(1.0, |&t| alphas[t as usize]);
    timesteps
        .iter()
        .enumerate()
        .map(|(index, &t)| {
            let (alpha, previous) = (at(Some(&t)), at(timesteps.get(index + 1)));
            let step_alpha = alpha / previous;
            let step_beta = 1.0 - step_alpha;
            // diffusers clamps this variance to at least 1e-20 because it takes its logarithm. A sigma
            // of 1e-10 does not change an f32 state, but its density would dominate all other steps.
            let small = ((1.0 - previous) / (1.0 - alpha) * step_beta).max(0.0);
            let variance = if config.variance_type == "fixed_large" { step_beta } else { small };
            Coefficients {
                mean_from_image: previous.sqrt() * step_beta / (1.0 - alpha),
                mean_from_state: step_alpha.sqrt() * (1.0 - previous) / (1.0 - alpha),
                sigma: if t > 0 { variance.sqrt() } else { 0.0 },
                ..prediction(config, alpha)
            }
        })
        .collect()
}
