//! DDIM and DDPM schedulers as tables of Gaussian transitions.
//!
//! A step is p(x_{t-1} | x_t) = N(mean, sigma^2 I), whose mean is linear in the state, the (clipped)
//! predicted image and the predicted noise. DDIM (Song et al. 2021, equations 12 and 16) and DDPM (Ho et
//! al. 2020, equations 6 and 7) differ only in the [`Coefficients`], so both become a [`Transitions`]
//! table. Sampling and training read the same table by step index and apply the same operations.

pub mod accepted;
mod bound;
mod coefficients;
pub mod config;
mod ddim;
mod ddpm;
pub mod forward;
pub mod noise_schedule;

pub use bound::MAX_THRESHOLDED_VALUES;
pub use coefficients::Coefficients;

use crate::transfer::upload;
use bound::Bound;
use config::{SchedulerConfig, SchedulerError};
use ddpo_rollout::chain::{Chain, EpochChain, NeededStates, windowed_digest};
use ddpo_rollout::trajectory::Digest;
use ddpo_rollout::window::Window;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use tch::{Device, Tensor};
use thiserror::Error;

/// The scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerKind {
    /// DDIM (Song et al. 2021) with eta.
    #[default]
    Ddim,
    /// DDPM ancestral sampling (Ho et al. 2020); ignores eta.
    Ddpm,
}

/// The error for a scheduler name other than `ddim` and `ddpm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected ddim or ddpm")]
pub struct UnknownScheduler;

impl SchedulerKind {
    /// Returns the name in settings, flags and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Ddpm => "ddpm",
        }
    }
}

impl FromStr for SchedulerKind {
    type Err = UnknownScheduler;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Ddim, Self::Ddpm].into_iter().find(|one| one.name() == text).ok_or(UnknownScheduler)
    }
}

/// The steps of an inference run: timesteps and their coefficients, as a table on a device.
#[derive(Debug)]
pub struct Transitions {
    timesteps: Vec<i64>,
    coefficients: Vec<Coefficients>,
    /// The same steps by DDIM with eta = 0.
    deterministic: Vec<Coefficients>,
    bound: Bound,
    table: Tensor,
    digest: Digest,
}

/// The result of one step.
#[derive(Debug)]
pub struct Step {
    /// Mean of the transition, f32 `[B, C, H, W]`.
    pub mean: Tensor,
    /// Standard deviation of the transition, f32 `[B, 1, 1, 1]`.
    pub sigma: Tensor,
    /// The sample `mean + sigma * noise`, f32 `[B, C, H, W]`.
    pub sample: Tensor,
}

const COLUMNS: i64 = 8;

impl Transitions {
    /// Builds the table for `steps` inference steps, on the CPU. `eta` applies to DDIM: 1 gives DDPM's
    /// variance, 0 is deterministic.
    ///
    /// # Errors
    /// [`SchedulerError`] if `steps`, `eta` or a timestep is out of range, a coefficient is not finite, or
    /// diffusers' scheduler of this kind does not support the config.
    pub fn new(
        kind: SchedulerKind,
        config: &SchedulerConfig,
        steps: usize,
        eta: f64,
    ) -> Result<Self, SchedulerError> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(SchedulerError::Eta(eta));
        }
        if kind == SchedulerKind::Ddim {
            ddim::check(config)?;
        }
        let timesteps = noise_schedule::timesteps(config, steps)?;
        let alphas = noise_schedule::alphas_cumprod(config);
        let coefficients: Vec<Coefficients> = match kind {
            SchedulerKind::Ddim => ddim::coefficients(config, &alphas, &timesteps, eta),
            SchedulerKind::Ddpm => ddpm::coefficients(config, &alphas, &timesteps),
        };
        let bound = Bound::of(config);
        for (coefficients, &timestep) in coefficients.iter().zip(&timesteps) {
            if !row(coefficients).iter().all(|value| value.is_finite()) {
                let alpha = alphas[timestep as usize];
                return Err(SchedulerError::NoSignal { timestep, alpha });
            }
        }
        let rows: Vec<f32> = coefficients.iter().flat_map(row).collect();
        let table = table(&rows);
        let digest = digest(&timesteps, &rows, bound);
        let deterministic = ddim::coefficients(config, &alphas, &timesteps, 0.0);
        Ok(Self { timesteps, coefficients, deterministic, bound, table, digest })
    }

    /// Returns the same chain with `random_steps` as the only random steps: every other step becomes
    /// DDIM's with eta = 0 (Song et al. 2021, equation 12 with sigma = 0).
    #[must_use]
    pub fn windowed(&self, random_steps: &[usize]) -> Self {
        let mut coefficients = self.deterministic.clone();
        random_steps.iter().for_each(|&step| coefficients[step] = self.coefficients[step]);
        let rows: Vec<f32> = coefficients.iter().flat_map(row).collect();
        Self {
            table: table(&rows).to_device(self.table.device()),
            digest: windowed_digest(self.digest, random_steps),
            coefficients,
            ..self.shared()
        }
    }

    /// Returns the run's description of its chain; `window` and `needed` are settings of the run.
    pub fn chain(&self, window: Option<Window>, needed: NeededStates) -> Chain {
        Chain {
            timesteps: self.timesteps.as_slice().into(),
            random_steps: self.random_steps().into(),
            digest: self.digest,
            window,
            needed,
        }
    }

    /// Returns the steps that samples of one epoch are drawn with: this table, or its
    /// [`windowed`](Self::windowed) form.
    #[must_use]
    pub fn of_epoch(&self, epoch: &EpochChain) -> Self {
        if epoch.digest == self.digest { self.shared() } else { self.windowed(&epoch.random_steps) }
    }

    /// Returns the same steps on the same storage, for another thread.
    pub fn shared(&self) -> Self {
        Self {
            timesteps: self.timesteps.clone(),
            coefficients: self.coefficients.clone(),
            deterministic: self.deterministic.clone(),
            bound: self.bound,
            table: self.table.shallow_clone(),
            digest: self.digest,
        }
    }

    /// Moves the table to `device`, where the states must be.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.table = self.table.to_device(device);
        self
    }

    /// Returns the timesteps in descending order.
    pub fn timesteps(&self) -> &[i64] {
        &self.timesteps
    }

    /// Returns the coefficients of each step.
    pub fn coefficients(&self) -> &[Coefficients] {
        &self.coefficients
    }

    /// Returns the indices of the steps with sigma > 0. The other steps are deterministic and have no
    /// density.
    pub fn random_steps(&self) -> Vec<usize> {
        let steps = self.coefficients.iter().enumerate();
        steps.filter(|(_, c)| c.sigma > 0.0).map(|(index, _)| index).collect()
    }

    /// Returns a digest of timesteps, coefficients and bound: everything that a step depends on.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns |d mean / d output| of a step if the predicted image is not clipped: how far the
    /// mean moves with the model's output.
    pub fn output_sensitivity(&self, step: usize) -> f64 {
        let c = &self.coefficients[step];
        (c.mean_from_image * c.image_from_output + c.mean_from_noise * c.noise_from_output).abs()
    }

    /// Returns the timesteps at the step indices `steps`, i64 `[B]` on the table's device.
    pub fn timestep_tensor(&self, steps: &[usize]) -> Tensor {
        let values: Vec<i64> = steps.iter().map(|&step| self.timesteps[step]).collect();
        upload(&values, &[values.len() as i64], self.table.device())
    }

    /// Takes one step for each sample. `state` (x_t), `output` (the model's prediction) and `noise`
    /// (standard normal) are f32 `[B, C, H, W]`; `steps` are the B step indices. Agrees with `step` of
    /// diffusers' schedulers.
    pub fn step(&self, state: &Tensor, output: &Tensor, steps: &[usize], noise: &Tensor) -> Step {
        let (mean, sigma) = self.mean_and_sigma(state, output, steps);
        let sample = &mean + &sigma * noise;
        Step { mean, sigma, sample }
    }

    /// Returns the mean f32 `[B, C, H, W]` and the standard deviation f32 `[B, 1, 1, 1]` of the step
    /// from `state` given the model's `output`, by the equations of [`Coefficients`]. Differentiable in
    /// `output`.
    pub fn mean_and_sigma(
        &self,
        state: &Tensor,
        output: &Tensor,
        steps: &[usize],
    ) -> (Tensor, Tensor) {
        let columns = self.columns(steps);
        let column = |index: usize| &columns[index];
        let image = self.image(state, output, &columns);
        let noise = state * column(2) + output * column(3);
        let mean = image * column(4) + noise * column(5);
        let has_state_term = steps.iter().any(|&s| self.coefficients[s].mean_from_state != 0.0);
        let mean = if has_state_term { mean + state * column(6) } else { mean };
        (mean, columns[7].shallow_clone())
    }

    /// Returns the image f32 `[B, C, H, W]` (x_0) that the model's `output` predicts from `state`,
    /// clipped if the scheduler has `clip_sample` or `thresholding`.
    pub fn predicted_image(&self, state: &Tensor, output: &Tensor, steps: &[usize]) -> Tensor {
        self.image(state, output, &self.columns(steps))
    }

    fn image(&self, state: &Tensor, output: &Tensor, columns: &[Tensor]) -> Tensor {
        self.bound.apply(state * &columns[0] + output * &columns[1])
    }

    /// Returns the columns of the table, each `[B, 1, 1, 1]`, for the rows `steps`.
    fn columns(&self, steps: &[usize]) -> Vec<Tensor> {
        let rows = match steps {
            // One row serves the whole batch by broadcasting.
            [first, rest @ ..] if rest.iter().all(|step| step == first) => {
                let row = self.table.narrow(0, *first as i64, 1);
                row.expand([steps.len() as i64, COLUMNS, 1, 1, 1], false)
            }
            _ => {
                let indices: Vec<i64> = steps.iter().map(|&step| step as i64).collect();
                let size = [indices.len() as i64];
                self.table.index_select(0, &upload(&indices, &size, self.table.device()))
            }
        };
        rows.unbind(1)
    }
}

fn row(c: &Coefficients) -> [f32; COLUMNS as usize] {
    [
        c.image_from_state,
        c.image_from_output,
        c.noise_from_state,
        c.noise_from_output,
        c.mean_from_image,
        c.mean_from_noise,
        c.mean_from_state,
        c.sigma,
    ]
    .map(|value| value as f32)
}

fn table(rows: &[f32]) -> Tensor {
    Tensor::from_slice(rows).view([-1, COLUMNS, 1, 1, 1])
}

fn digest(timesteps: &[i64], rows: &[f32], bound: Bound) -> Digest {
    let mut bytes = Vec::new();
    timesteps.iter().for_each(|t| bytes.extend(t.to_le_bytes()));
    rows.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bound.numbers().iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(config: &SchedulerConfig, steps: usize, eta: f64) -> Result<Transitions, String> {
        Transitions::new(SchedulerKind::Ddim, config, steps, eta).map_err(|error| error.to_string())
    }

    #[test]
    fn rejects_steps_eta_and_betas_out_of_range() {
        let config = SchedulerConfig::default();
        for (steps, eta, expected) in [
            (0, 1.0, "0 inference steps: expected 1 to 1000"),
            (1001, 1.0, "1001 inference steps: expected 1 to 1000"),
            (10, 1.5, "eta = 1.5: expected"),
            (10, -0.1, "eta = -0.1: expected"),
            (10, f64::NAN, "eta = NaN: expected"),
        ] {
            let message = table(&config, steps, eta).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
        let shifted = SchedulerConfig { steps_offset: 200, ..config.clone() };
        assert!(table(&shifted, 10, 1.0).unwrap_err().contains("timestep 1100 lies outside"));
        let shifted = SchedulerConfig { steps_offset: i64::MAX, ..config.clone() };
        assert!(table(&shifted, 10, 1.0).unwrap_err().contains("lies outside the schedule"));
        let trailing = SchedulerConfig { timestep_spacing: "trailing".into(), ..config.clone() };
        assert!(table(&trailing, 60, 1.0).is_ok());
        let message = table(&trailing, 61, 1.0).unwrap_err();
        assert!(message.contains("= trailing gives 62 timesteps"), "{message}");
        let blind = SchedulerConfig { beta_start: 0.9, beta_end: 0.99, ..config };
        assert!(table(&blind, 10, 1.0).unwrap_err().contains("the cumulative alpha is 0"));
    }

    #[test]
    fn all_steps_are_deterministic_with_eta_0_and_only_the_last_with_eta_1() {
        let config = SchedulerConfig::default();
        assert!(table(&config, 10, 0.0).unwrap().random_steps().is_empty());
        let steps: Vec<usize> = (0..9).collect();
        assert_eq!(table(&config, 10, 1.0).unwrap().random_steps(), steps);
    }

    #[test]
    fn digest_changes_with_each_setting() {
        let config = SchedulerConfig::default();
        let digest =
            |config: &SchedulerConfig, steps, eta| table(config, steps, eta).unwrap().digest();
        let base = digest(&config, 10, 1.0);
        assert_eq!(base, digest(&config, 10, 1.0));
        let unclipped = SchedulerConfig { clip_sample: false, ..config.clone() };
        let predicts_v =
            SchedulerConfig { prediction_type: "v_prediction".into(), ..config.clone() };
        let thresholds = SchedulerConfig { thresholding: true, ..config.clone() };
        for other in [
            digest(&config, 11, 1.0),
            digest(&config, 10, 0.9),
            digest(&unclipped, 10, 1.0),
            digest(&predicts_v, 10, 1.0),
            digest(&thresholds, 10, 1.0),
        ] {
            assert_ne!(base, other);
        }
    }
}
