//! The scalar coefficients of one denoising step.

use crate::scheduler::config::SchedulerConfig;

/// The scalars of one step from the state x_t and the model's output `out`:
///
/// ```text
/// image   = clamp(image_from_state x_t + image_from_output out)
/// noise   = noise_from_state x_t + noise_from_output out
/// mean    = mean_from_image image + mean_from_noise noise + mean_from_state x_t
/// x_{t-1} ~ N(mean, sigma^2 I)
/// ```
///
/// `image` is the predicted x_0 and `noise` the predicted eps. Computed in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Weight of x_t in the predicted image.
    pub image_from_state: f64,
    /// Weight of the model's output in the predicted image.
    pub image_from_output: f64,
    /// Weight of x_t in the predicted noise.
    pub noise_from_state: f64,
    /// Weight of the model's output in the predicted noise.
    pub noise_from_output: f64,
    /// Weight of the predicted image in the mean.
    pub mean_from_image: f64,
    /// Weight of the predicted noise in the mean.
    pub mean_from_noise: f64,
    /// Weight of x_t in the mean.
    pub mean_from_state: f64,
    /// Standard deviation of the step; 0 if the step is deterministic.
    pub sigma: f64,
}

/// Returns the weights of the predicted image and the predicted noise at cumulative alpha `alpha`, by
/// the model's `prediction_type` (diffusers `schedulers/scheduling_ddim.py`, `step`). All other
/// coefficients are 0. With a = sqrt(alpha) and b = sqrt(1 - alpha):
///
/// ```text
/// epsilon:       image = (x_t - b out) / a      noise = out                (Ho et al. 2020, eq. 15)
/// sample:        image = out                    noise = (x_t - a out) / b
/// v_prediction:  image = a x_t - b out          noise = b x_t + a out      (Salimans and Ho 2022, section 4)
/// ```
pub(super) fn prediction(config: &SchedulerConfig, alpha: f64) -> Coefficients {
    let (a, b) = (alpha.sqrt(), (1.0 - alpha).sqrt());
    let (image, noise) = match config.prediction_type.as_str() {
        "sample" => ((0.0, 1.0), (1.0 / b, -a / b)),
        "v_prediction" => ((a, -b), (b, a)),
        _ => ((1.0 / a, -b / a), (0.0, 1.0)),
    };
    Coefficients {
        image_from_state: image.0,
        image_from_output: image.1,
        noise_from_state: noise.0,
        noise_from_output: noise.1,
        mean_from_image: 0.0,
        mean_from_noise: 0.0,
        mean_from_state: 0.0,
        sigma: 0.0,
    }
}
