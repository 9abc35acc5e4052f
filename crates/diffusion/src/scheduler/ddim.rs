//! DDIM's coefficients (diffusers `schedulers/scheduling_ddim.py`, `step`).

use crate::fields::FieldError;
use crate::scheduler::coefficients::{Coefficients, prediction};
use crate::scheduler::config::SchedulerConfig;

/// Checks that diffusers' `DDIMScheduler` has the beta schedule.
///
/// # Errors
/// [`FieldError::Unsupported`] for `sigmoid` and `laplace`, which only `DDPMScheduler` has.
pub fn check(config: &SchedulerConfig) -> Result<(), FieldError> {
    let is_of_ddpm = ["sigmoid", "laplace"].contains(&config.beta_schedule.as_str());
    if config.trained_betas.is_some() || !is_of_ddpm {
        return Ok(());
    }
    let expected = "linear or scaled_linear or squaredcos_cap_v2 with DDIM; hint: use the scheduler \
                    ddpm";
    Err(FieldError::unsupported("beta_schedule", expected, &config.beta_schedule))
}

/// Returns the coefficients of each DDIM step (Song et al. 2021, equation 12; sigma is `eta` times
/// equation 16):
///
/// ```text
/// x_{t-s} = sqrt(alpha_{t-s}) image + sqrt(1 - alpha_{t-s} - sigma^2) noise + sigma z,   z ~ N(0, I)
/// sigma   = eta sqrt((1 - alpha_{t-s}) / (1 - alpha_t)) sqrt(1 - alpha_t / alpha_{t-s})
/// ```
///
/// `alphas` are the cumulative alphas of the training schedule, `timesteps` the visited timesteps. The
/// stride s is `num_train_timesteps / timesteps.len()` for every spacing, as in diffusers.
pub fn coefficients(
    config: &SchedulerConfig,
    alphas: &[f64],
    timesteps: &[i64],
    eta: f64,
) -> Vec<Coefficients> {
    let stride = (config.num_train_timesteps / timesteps.len()) as i64;
    let last = if config.set_alpha_to_one { 1.0 } else { alphas[0] };
    let at = |t: i64| usize::try_from(t).map_or(last, |t| alphas[t]);
    timesteps
        .iter()
        .map(|&t| {
            let (alpha, previous) = (at(t), at(t - stride));
            let variance = (1.0 - previous) / (1.0 - alpha) * (1.0 - alpha / previous);
            let sigma = eta * variance.max(0.0).sqrt();
            Coefficients {
                mean_from_image: previous.sqrt(),
                mean_from_noise: (1.0 - previous - sigma * sigma).max(0.0).sqrt(),
                sigma,
                ..prediction(config, alpha)
            }
        })
        .collect()
}
