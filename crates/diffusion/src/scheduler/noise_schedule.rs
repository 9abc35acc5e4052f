//! Betas, cumulative alphas, and the timesteps of an inference run.

use crate::scheduler::config::{SchedulerConfig, SchedulerError};
use tch::{Kind, Tensor};

/// Returns the cumulative products alpha_t = prod_{s <= t} (1 - beta_s), `[num_train_timesteps]`.
/// Computed in f32 by libtorch, as in diffusers, then converted to f64.
///
/// The betas depend on `beta_schedule`, with s = `beta_start`, e = `beta_end` and N timesteps:
///
/// ```text
/// linear:             linspace(s, e, N)                                (Ho et al. 2020, section 4)
/// scaled_linear:      linspace(sqrt(s), sqrt(e), N)^2                  (Rombach et al. 2022)
/// sigmoid:            sigmoid(linspace(-6, 6, N)) (e - s) + s          (Xu et al. 2022, GeoDiff)
/// squaredcos_cap_v2:  min(1 - f((i + 1) / N) / f(i / N), 0.999),       (Nichol and Dhariwal 2021, eq. 17)
///                     f(u) = cos(pi / 2 (u + 0.008) / 1.008)^2
/// laplace:            as squaredcos_cap_v2, with r = e^l and             (Hang and Gu 2024)
///                     f(u) = sqrt(r / (1 + r)),
///                     l = -sign(1 / 2 - u) log(1 - 2 |1 / 2 - u| + 1e-6) / 2
/// ```
///
/// With `rescale_betas_zero_snr` the last alpha becomes 0 and the first one stays (Lin et al. 2024,
/// algorithm 1).
pub fn alphas_cumprod(config: &SchedulerConfig) -> Vec<f64> {
    let betas = betas(config);
    let betas = if config.rescale_betas_zero_snr { rescaled(&betas) } else { betas };
    let products = cumulative(&betas);
    // The conversion of an f32 CPU tensor cannot fail.
    Vec::<f32>::try_from(products).unwrap_or_default().into_iter().map(f64::from).collect()
}

fn cumulative(betas: &Tensor) -> Tensor {
    (betas.neg() + 1.0).cumprod(0, Kind::Float)
}

/// Returns the betas with a cumulative alpha of 0 at the last timestep, by the operations of diffusers'
/// `rescale_zero_terminal_snr`.
fn rescaled(betas: &Tensor) -> Tensor {
    let roots = cumulative(betas).sqrt();
    let (first, last) = (roots.get(0), roots.get(-1));
    let roots = (roots - &last) * (&first / (&first - &last));
    let products = roots.square();
    let steps = products.size()[0];
    let alphas = products.narrow(0, 1, steps - 1) / products.narrow(0, 0, steps - 1);
    1.0 - Tensor::cat(&[products.narrow(0, 0, 1), alphas], 0)
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
        "squaredcos_cap_v2" => betas_of(cosine, config.num_train_timesteps),
        "laplace" => betas_of(laplace, config.num_train_timesteps),
        _ => linspace(start, end),
    }
}

/// Returns the betas of a cumulative alpha (diffusers `betas_for_alpha_bar`).
fn betas_of(alpha_bar: fn(f64) -> f64, steps: usize) -> Tensor {
    let at = |index: usize| alpha_bar(index as f64 / steps as f64);
    let beta = |index: usize| (1.0 - at(index + 1) / at(index)).min(0.999) as f32;
    Tensor::from_slice(&(0..steps).map(beta).collect::<Vec<f32>>())
}

/// The cumulative alpha of `squaredcos_cap_v2`.
fn cosine(t: f64) -> f64 {
    ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
}

/// The cumulative alpha of `laplace`.
fn laplace(t: f64) -> f64 {
    let centred = 0.5 - t;
    let log_snr = -0.5 * 1.0_f64.copysign(centred) * (1.0 - 2.0 * centred.abs() + 1e-6).ln();
    let snr = log_snr.exp();
    (snr / (1.0 + snr)).sqrt()
}

/// Returns the timesteps of an inference run in descending order, by `timestep_spacing` (Lin et al. 2024,
/// table 2; diffusers `set_timesteps`). With N training timesteps and K steps, for i in 0 .. K:
///
/// ```text
/// leading:   floor(N / K) i + steps_offset
/// trailing:  round(N - i N / K) - 1       (in numpy's arithmetic)
/// linspace:  round(i (N - 1) / (K - 1))
/// ```
///
/// # Errors
/// [`SchedulerError::Steps`] if K is outside 1 to N, [`SchedulerError::Trailing`] if diffusers visits
/// another number of timesteps, [`SchedulerError::Timestep`] if a timestep is outside the schedule.
pub fn timesteps(config: &SchedulerConfig, steps: usize) -> Result<Vec<i64>, SchedulerError> {
    let train = config.num_train_timesteps;
    if steps == 0 || steps > train {
        return Err(SchedulerError::Steps { found: steps, train });
    }
    let timesteps: Vec<i64> = match config.timestep_spacing.as_str() {
        "linspace" => {
            let stride = (train - 1) as f64 / (steps.max(2) - 1) as f64;
            let place = |index: usize| (index as f64 * stride).round_ties_even() as i64;
            // As in numpy, the linspace of a single point is its start.
            (0..steps).rev().map(place).collect()
        }
        "trailing" => {
            // As numpy's arange(N, 0, -N / K): its values are multiples of the difference of the first
            // two, and their number is rounded up.
            let (start, stride) = (train as f64, train as f64 / steps as f64);
            let difference = (start - stride) - start;
            let place = |index: usize| (start + index as f64 * difference).round_ties_even() as i64;
            (0..(start / stride).ceil() as usize).map(|index| place(index) - 1).collect()
        }
        _ => {
            let stride = (train / steps) as i64;
            let place = |index: i64| (index * stride).saturating_add(config.steps_offset);
            (0..steps as i64).rev().map(place).collect()
        }
    };
    if timesteps.len() != steps {
        return Err(SchedulerError::Trailing { found: steps, timesteps: timesteps.len() });
    }
    match timesteps.iter().find(|&&t| t < 0 || t >= train as i64) {
        Some(&timestep) => Err(SchedulerError::Timestep { timestep, train }),
        None => Ok(timesteps),
    }
}
