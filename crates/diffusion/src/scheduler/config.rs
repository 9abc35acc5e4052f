//! `scheduler_config.json`: the noise schedule and how a step is taken.

use crate::fields::{FieldError, one_of, read_known};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The fields that diffusers' `DDIMScheduler` and `DDPMScheduler` share or have of their own
/// (diffusers 0.35, `schedulers/scheduling_ddim.py` and `scheduling_ddpm.py`). A file written for
/// the one serves the other, as diffusers' `from_pretrained` allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Steps of the training schedule.
    pub num_train_timesteps: usize,
    /// First beta.
    pub beta_start: f64,
    /// Last beta.
    pub beta_end: f64,
    /// `linear`, `scaled_linear`, `squaredcos_cap_v2` or `sigmoid`.
    pub beta_schedule: String,
    /// Betas given one by one; they win over the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// Clip the predicted image.
    pub clip_sample: bool,
    /// To plus and minus this.
    pub clip_sample_range: f64,
    /// DDIM: the step before the first has a cumulative alpha of one, instead of the first's.
    pub set_alpha_to_one: bool,
    /// Added to the timesteps in `leading` spacing.
    pub steps_offset: i64,
    /// `epsilon`, `sample` or `v_prediction`.
    pub prediction_type: String,
    /// `leading`, `trailing` or `linspace`.
    pub timestep_spacing: String,
    /// DDPM: `fixed_small`, `fixed_small_log` or `fixed_large`.
    pub variance_type: String,
    /// Not supported.
    pub thresholding: bool,
    /// Not supported.
    pub rescale_betas_zero_snr: bool,
    /// Of `thresholding`, unused without it.
    pub dynamic_thresholding_ratio: f64,
    /// Of `thresholding`, unused without it.
    pub sample_max_value: f64,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: "linear".into(),
            trained_betas: None,
            clip_sample: true,
            clip_sample_range: 1.0,
            set_alpha_to_one: true,
            steps_offset: 0,
            prediction_type: "epsilon".into(),
            timestep_spacing: "leading".into(),
            variance_type: "fixed_small".into(),
            thresholding: false,
            rescale_betas_zero_snr: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
        }
    }
}

/// Why a scheduler cannot be made.
#[derive(Debug, Error)]
pub enum SchedulerError {
    /// The file cannot be used.
    #[error("scheduler config: {0}")]
    Config(FieldError),
    /// The number of inference steps does not fit the schedule.
    #[error("{found} inference steps: expected 1 to {train}, the steps of the training schedule")]
    Steps {
        /// Steps asked for.
        found: usize,
        /// Steps of the training schedule.
        train: usize,
    },
    /// Eta is out of range.
    #[error("eta = {0}: expected a number from 0 to 1")]
    Eta(f64),
    /// The betas leave nothing of the image at a timestep, so it cannot be predicted from there.
    #[error(
        "timestep {timestep}: the cumulative alpha is {alpha}, too small for a step; \
         hint: smaller betas"
    )]
    NoSignal {
        /// The timestep.
        timestep: i64,
        /// Its cumulative alpha.
        alpha: f64,
    },
    /// The spacing and the offset lead outside the schedule.
    #[error("timestep {timestep} lies outside the schedule of {train} steps")]
    Timestep {
        /// The timestep.
        timestep: i64,
        /// Steps of the training schedule.
        train: usize,
    },
}

impl From<FieldError> for SchedulerError {
    fn from(error: FieldError) -> Self {
        Self::Config(error)
    }
}

impl SchedulerConfig {
    /// Parses and checks a `scheduler_config.json`. Fields that begin with `_` are bookkeeping.
    ///
    /// # Errors
    /// [`SchedulerError`] names the field that is unknown or unsupported.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        let mut fields: Map<String, Value> =
            serde_json::from_str(text).map_err(FieldError::Json)?;
        // Files of 2022 carry switches of a library version that gave arrays of another kind.
        fields.remove("tensor_format");
        fields.remove("timestep_values");
        fields.remove("skip_prk_steps");
        let config: Self = read_known(fields)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), FieldError> {
        let schedules = ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"];
        one_of("beta_schedule", &self.beta_schedule, &schedules)?;
        one_of("prediction_type", &self.prediction_type, &["epsilon", "sample", "v_prediction"])?;
        one_of("timestep_spacing", &self.timestep_spacing, &["leading", "trailing", "linspace"])?;
        let variances = ["fixed_small", "fixed_small_log", "fixed_large"];
        one_of("variance_type", &self.variance_type, &variances)?;
        if self.thresholding {
            return Err(FieldError::unsupported("thresholding", "false", "true"));
        }
        if self.rescale_betas_zero_snr {
            return Err(FieldError::unsupported("rescale_betas_zero_snr", "false", "true"));
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), FieldError> {
        if !(1..=100_000).contains(&self.num_train_timesteps) {
            let found = self.num_train_timesteps;
            return Err(FieldError::unsupported("num_train_timesteps", "1 to 100000", found));
        }
        for (field, beta) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            if !(beta > 0.0 && beta < 1.0) {
                return Err(FieldError::unsupported(field, "a number between 0 and 1", beta));
            }
        }
        if let Some(betas) = &self.trained_betas {
            if betas.len() != self.num_train_timesteps {
                let expected = format!("{} numbers", self.num_train_timesteps);
                return Err(FieldError::unsupported("trained_betas", expected, betas.len()));
            }
            if let Some(beta) = betas.iter().find(|&&beta| !(beta > 0.0 && beta < 1.0)) {
                let expected = "numbers between 0 and 1";
                return Err(FieldError::unsupported("trained_betas", expected, beta));
            }
        }
        if self.clip_sample_range.is_nan() || self.clip_sample_range <= 0.0 {
            let found = self.clip_sample_range;
            return Err(FieldError::unsupported("clip_sample_range", "a positive number", found));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(field: &str, value: serde_json::Value) -> String {
        let mut fields = json!({});
        fields[field] = value;
        SchedulerConfig::from_json(&fields.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_is_not_supported_is_refused_by_the_name_of_its_field() {
        for (field, value) in [
            ("beta_schedule", json!("exponential")),
            ("prediction_type", json!("flow")),
            ("timestep_spacing", json!("custom")),
            ("variance_type", json!("learned_range")),
            ("thresholding", json!(true)),
            ("rescale_betas_zero_snr", json!(true)),
            ("num_train_timesteps", json!(0)),
            ("num_train_timesteps", json!(10_000_000)),
            ("beta_start", json!(0.0)),
            ("beta_end", json!(1.0)),
            ("trained_betas", json!([0.1, 0.2])),
            ("clip_sample_range", json!(0.0)),
        ] {
            let message = refusal(field, value.clone());
            let expected = format!("scheduler config: `{field}` = ");
            assert!(message.starts_with(&expected), "{field} = {value}: {message}");
        }
        let message = refusal("trained_betas", json!(vec![2.0; 1000]));
        assert!(message.contains("`trained_betas` = 2"), "{message}");
    }

    #[test]
    fn a_value_of_another_type_is_refused_by_the_name_of_its_field() {
        for (field, value) in [
            ("num_train_timesteps", json!("1000")),
            ("clip_sample", json!(1)),
            ("beta_start", json!(null)),
            ("steps_offset", json!(0.5)),
        ] {
            let message = refusal(field, value);
            assert!(message.starts_with(&format!("scheduler config: `{field}`: ")), "{message}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_and_bookkeeping_passes() {
        let message = refusal("karras_sigmas", json!(true));
        assert_eq!(message, "scheduler config: unknown field `karras_sigmas`");
        let old =
            r#"{"_class_name": "DDPMScheduler", "tensor_format": "pt", "timestep_values": null}"#;
        assert_eq!(SchedulerConfig::from_json(old).unwrap(), SchedulerConfig::default());
    }
}
