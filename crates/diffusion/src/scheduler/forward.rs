//! The forward process: adds noise to images and returns the prediction targets.

use crate::scheduler::config::SchedulerConfig;
use crate::scheduler::noise_schedule::alphas_cumprod;
use crate::transfer::upload;
use tch::{Device, Tensor};

/// The meaning of the model's output (diffusers' `prediction_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Epsilon,
    Sample,
    Velocity,
}

/// q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I) (Ho et al. 2020, equation 4) for every training
/// timestep of a scheduler.
#[derive(Debug)]
pub struct ForwardProcess {
    /// sqrt(abar_t) and sqrt(1 - abar_t), f32 `[num_train_timesteps, 2, 1, 1, 1]`.
    factors: Tensor,
    target: Target,
}

/// Noisy images and their prediction targets.
#[derive(Debug)]
pub struct Noised {
    /// x_t, f32 `[B, C, H, W]`.
    pub state: Tensor,
    /// The target of the prediction, in the model's prediction type, f32 `[B, C, H, W]`.
    pub target: Tensor,
}

impl ForwardProcess {
    /// Creates the process of a scheduler on `device`.
    pub fn new(config: &SchedulerConfig, device: Device) -> Self {
        let alphas = alphas_cumprod(config).into_iter();
        let factors: Vec<f32> =
            alphas.flat_map(|alpha| [alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32]).collect();
        let target = match config.prediction_type.as_str() {
            "sample" => Target::Sample,
            "v_prediction" => Target::Velocity,
            _ => Target::Epsilon,
        };
        let factors = Tensor::from_slice(&factors).view([-1, 2, 1, 1, 1]).to_device(device);
        Self { factors, target }
    }

    /// Returns the same process for another thread.
    pub fn shared(&self) -> Self {
        Self { factors: self.factors.shallow_clone(), target: self.target }
    }

    /// Returns the number of training timesteps.
    pub fn timesteps(&self) -> usize {
        self.factors.size()[0] as usize
    }

    /// Adds `noise` to `image`, both f32 `[B, C, H, W]`, at the timesteps `timesteps`.
    ///
    /// x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise. The target is the noise, x_0, or
    /// v = sqrt(abar_t) noise - sqrt(1 - abar_t) x_0 (Salimans and Ho 2022, appendix D), as diffusers'
    /// `DDPMScheduler.add_noise` and `get_velocity`.
    pub fn noised(&self, image: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Noised {
        let size = [timesteps.len() as i64];
        let rows = self.factors.index_select(0, &upload(timesteps, &size, self.factors.device()));
        let columns = rows.unbind(1);
        let (signal, sigma) = (&columns[0], &columns[1]);
        let target = match self.target {
            Target::Epsilon => noise.shallow_clone(),
            Target::Sample => image.shallow_clone(),
            Target::Velocity => noise * signal - image * sigma,
        };
        Noised { state: image * signal + noise * sigma, target }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// The image that follows from the target is the original, for every prediction type.
    #[test]
    fn each_target_gives_back_the_image() {
        let options = (Kind::Float, Device::Cpu);
        let (image, noise) =
            (Tensor::rand([2, 3, 4, 4], options), Tensor::randn([2, 3, 4, 4], options));
        for prediction_type in ["epsilon", "sample", "v_prediction"] {
            let config = SchedulerConfig {
                prediction_type: prediction_type.into(),
                ..SchedulerConfig::default()
            };
            let alphas = alphas_cumprod(&config);
            let process = ForwardProcess::new(&config, Device::Cpu);
            let Noised { state, target } = process.noised(&image, &noise, &[10, 400]);
            for (row, t) in [10, 400].into_iter().enumerate() {
                let (signal, sigma) = (alphas[t].sqrt(), (1.0 - alphas[t]).sqrt());
                let (state, target) = (state.get(row as i64), target.get(row as i64));
                let found = match prediction_type {
                    "epsilon" => (&state - &target * sigma) / signal,
                    "sample" => target.shallow_clone(),
                    _ => &state * signal - &target * sigma,
                };
                let gap = (found - image.get(row as i64)).abs().max().double_value(&[]);
                assert!(gap < 1e-5, "{prediction_type} at {t}: {gap}");
            }
        }
    }
}
