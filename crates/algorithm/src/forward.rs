//! The forward objective: reward-weighted denoising of the samples' images at drawn noise levels.
//! It needs x_0 and a reward only, so it works with any sampler, including deterministic ones.
//!
//! At the weights that drew the samples, both weightings have the gradient of A |prediction -
//! target|^2: they agree to first order. Losses are computed in the model's prediction type. For an
//! epsilon model, an error in x_0 is the error in epsilon times sqrt((1 - abar_t) / abar_t), about
//! 160 at the noisiest level of a linear schedule: in x_0, the noisiest levels would outweigh all
//! others.

use crate::config::{ForwardConfig, ForwardWeighting, LevelWeight};
use crate::objective::clipped;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::SampleCoordinates;
use tch::{Kind, Tensor};

/// The inputs of the forward losses, f32 `[P, C, H, W]` except for the advantage.
#[derive(Debug)]
pub struct ForwardInputs<'a> {
    /// The prediction of the weights being trained; the gradient flows through it.
    pub prediction: &'a Tensor,
    /// The prediction of the old policy from the same noisy image.
    pub old: &'a Tensor,
    /// The target of the prediction.
    pub target: &'a Tensor,
    /// The advantage A, standardised and clipped to [-c, c], `[P]`.
    pub advantage: &'a Tensor,
}

/// The losses of P pairs.
#[derive(Debug)]
pub struct ForwardLosses {
    /// The loss of each pair, f32 `[P]`.
    pub loss: Tensor,
    /// |old - target|^2 - |prediction - target|^2, mean over dimensions, f32 `[P]`: the logarithm of
    /// the ratio that [`ForwardWeighting::Advantage`] clips.
    pub log_ratio: Tensor,
    /// |prediction - target|^2, mean over dimensions, f32 `[P]`.
    pub error: Tensor,
}

/// Returns the losses of P pairs. `largest_advantage` is c.
///
/// - [`ForwardWeighting::Nft`] (DiffusionNFT, arXiv 2509.16117, equation 5): with r = (A / c + 1) / 2,
///   plus = beta prediction + (1 - beta) old and minus = (1 + beta) old - beta prediction,
///   c / beta (r |plus - target|^2 + (1 - r) |minus - target|^2).
/// - [`ForwardWeighting::Advantage`] (AWM, arXiv 2509.25050): PPO's clipped loss on the ratio
///   exp(|old - target|^2 - |prediction - target|^2).
///
/// Squares are means over dimensions. With [`LevelWeight::Adaptive`] each is divided by its own mean
/// absolute error, without gradient, as the authors of DiffusionNFT do.
pub fn forward_losses(
    config: &ForwardConfig,
    inputs: &ForwardInputs<'_>,
    largest_advantage: f64,
    clip_ratio: f64,
) -> ForwardLosses {
    let ForwardInputs { prediction, old, target, advantage } = inputs;
    let error = mean_square(&(*prediction - *target));
    let old_error = mean_square(&(*old - *target));
    let log_ratio = &old_error - &error;
    let loss = match config.weighting {
        ForwardWeighting::Nft => {
            let beta = config.beta;
            let probability = (*advantage / largest_advantage).clamp(-1.0, 1.0) * 0.5 + 0.5;
            let plus = *prediction * beta + *old * (1.0 - beta) - *target;
            let minus = *old * (1.0 + beta) - *prediction * beta - *target;
            let square = |error: &Tensor| weighted_square(error, config.level_weight);
            let (plus, minus) = (square(&plus), square(&minus));
            let rest = probability.neg() + 1.0;
            (&probability * plus + rest * minus) * (largest_advantage / beta)
        }
        ForwardWeighting::Advantage => {
            let scale = match config.level_weight {
                LevelWeight::Uniform => Tensor::ones_like(&log_ratio),
                LevelWeight::Adaptive => mean_absolute(&(*prediction - *target)).reciprocal(),
            };
            clipped(&advantage.neg(), &(&log_ratio * scale), clip_ratio)
        }
    };
    ForwardLosses { loss, log_ratio, error }
}

/// Returns the mean of the squares over dimensions, `[P]`.
pub(crate) fn mean_square(error: &Tensor) -> Tensor {
    error.square().mean_dim([1_i64, 2, 3].as_slice(), false, None::<Kind>)
}

/// Returns the mean of the absolute values over dimensions, without gradient and above 0, `[P]`.
fn mean_absolute(error: &Tensor) -> Tensor {
    error.detach().abs().mean_dim([1_i64, 2, 3].as_slice(), false, None::<Kind>).clamp_min(1e-5)
}

fn weighted_square(error: &Tensor, weight: LevelWeight) -> Tensor {
    match weight {
        LevelWeight::Uniform => mean_square(error),
        LevelWeight::Adaptive => mean_square(error) / mean_absolute(error),
    }
}

/// Returns the noise levels that one pass over the epoch trains for a sample: one drawn by key from
/// each of `count` equal parts of `candidates`, in their order.
pub fn levels(
    candidates: &[i64],
    count: usize,
    sample: SampleCoordinates,
    inner_epoch: u32,
) -> Vec<i64> {
    let mut draws = vec![0.0; count];
    sample.noise(Purpose::LevelChoice, inner_epoch).fill_uniform(&mut draws);
    let place = |(part, draw): (usize, f32)| {
        let position = (part as f64 + f64::from(draw)) / count as f64 * candidates.len() as f64;
        candidates[(position as usize).min(candidates.len() - 1)]
    };
    draws.into_iter().enumerate().map(place).collect()
}

/// Returns the key of the noise of a sample at a level: `slot` counts the levels of a pass.
pub(crate) fn noise_key(
    sample: SampleCoordinates,
    inner_epoch: u32,
    levels: usize,
    slot: usize,
) -> NoiseKey {
    sample.noise(Purpose::ForwardNoise, inner_epoch * levels as u32 + slot as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: SampleCoordinates = SampleCoordinates { run_seed: 3, epoch: 1, sample: 2 };

    #[test]
    fn levels_are_one_of_each_part() {
        let candidates: Vec<i64> = (0..100).rev().collect();
        for inner_epoch in 0..20 {
            let found = levels(&candidates, 4, SAMPLE, inner_epoch);
            for (part, level) in found.into_iter().enumerate() {
                let (low, high) = (75 - 25 * part as i64, 100 - 25 * part as i64);
                assert!((low..high).contains(&level), "part {part}: {level}");
            }
        }
        assert_ne!(levels(&candidates, 4, SAMPLE, 0), levels(&candidates, 4, SAMPLE, 1));
        assert_eq!(levels(&[7], 3, SAMPLE, 0), [7, 7, 7]);
    }
}
