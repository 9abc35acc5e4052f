//! Betas, cumulative alphas, and which timesteps an inference run visits.

use crate::scheduler::config::{SchedulerConfig, SchedulerError};
use tch::{Kind, Tensor};

/// Cumulative products of 1 - beta, `[num_train_timesteps]`, computed in f32 by libtorch as
/// diffusers computes them, then widened.
pub fn alphas_cumprod(config: &SchedulerConfig) -> Vec<f64> {
    let alphas = betas(config).neg() + 1.0;
    let products = alphas.cumprod(0, Kind::Float);
    // A CPU tensor of floats always converts.
    Vec::<f32>::try_from(products).unwrap_or_default().into_iter().map(f64::from).collect()
}

fn betas(config: &SchedulerConfig) -> Tensor {
    if let Some(betas) = &config.trained_betas {
        return Tensor::from_slice(betas);
    }
    let linspace = |from: f64, to: f64| {
        let options = (Kind::Float, tch::Device::Cpu);
        Tensor::linspace(from, to, config.num_train_timesteps as i64, options)
    };
    let (start, end) = (config.beta_start, config.beta_end);
    match config.beta_schedule.as_str() {
        "scaled_linear" => linspace(start.sqrt(), end.sqrt()).square(),
        "sigmoid" => linspace(-6.0, 6.0).sigmoid() * (end - start) + start,
        "squaredcos_cap_v2" => Tensor::from_slice(&cosine_betas(config.num_train_timesteps)),
        _ => linspace(start, end),
    }
}

/// Nichol and Dhariwal 2021, equation 17, with betas of at most 0.999.
fn cosine_betas(steps: usize) -> Vec<f32> {
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |index: usize| alpha_bar(index as f64 / steps as f64);
    (0..steps).map(|index| (1.0 - at(index + 1) / at(index)).min(0.999) as f32).collect()
}

/// The timesteps of an inference run, from high to low.
///
/// # Errors
/// [`SchedulerError`] if there are more steps than the schedule has, or one lies outside it.
pub fn timesteps(config: &SchedulerConfig, steps: usize) -> Result<Vec<i64>, SchedulerError> {
    let train = config.num_train_timesteps;
    if steps == 0 || steps > train {
        return Err(SchedulerError::Steps { found: steps, train });
    }
    let timesteps: Vec<i64> = match config.timestep_spacing.as_str() {
        "linspace" => {
            let stride = (train - 1) as f64 / (steps.max(2) - 1) as f64;
            let place = |index: usize| (index as f64 * stride).round_ties_even() as i64;
            // numpy's linspace of a single point is its start.
            (0..steps).rev().map(place).collect()
        }
        "trailing" => {
            let stride = train as f64 / steps as f64;
            (0..steps)
                .map(|index| (train as f64 - index as f64 * stride).round_ties_even() as i64 - 1)
                .collect()
        }
        _ => {
            let stride = (train / steps) as i64;
            (0..steps as i64).rev().map(|index| index * stride + config.steps_offset).collect()
        }
    };
    match timesteps.iter().find(|&&t| t < 0 || t >= train as i64) {
        Some(&timestep) => Err(SchedulerError::Timestep { timestep, train }),
        None => Ok(timesteps),
    }
}
