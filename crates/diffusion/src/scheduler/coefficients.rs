//! The coefficients of one step.

use crate::scheduler::config::SchedulerConfig;

/// One step, as scalars:
/// image = clamp(`image_from_state` x_t + `image_from_output` out);
/// noise = `noise_from_state` x_t + `noise_from_output` out;
/// mean = `mean_from_image` image + `mean_from_noise` noise + `mean_from_state` x_t.
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
    /// Standard deviation of the step; 0 where it is deterministic.
    pub sigma: f64,
}

/// Returns the weights of the predicted image and the predicted noise at cumulative alpha `alpha`,
/// for the model's output type (diffusers' `prediction_type`). All other coefficients are 0.
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
