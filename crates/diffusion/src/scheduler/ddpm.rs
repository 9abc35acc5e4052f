//! DDPM's coefficients (diffusers `schedulers/scheduling_ddpm.py`, `step`).

use crate::scheduler::coefficients::{Coefficients, prediction};
use crate::scheduler::config::SchedulerConfig;

/// Ho et al. 2020, equation 7; the variance as `variance_type` says, none at t = 0.
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
            // diffusers lifts this to 1e-20, for its logarithm; noise of 1e-10 changes no f32 state,
            // but as a density it would drown all other steps.
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
