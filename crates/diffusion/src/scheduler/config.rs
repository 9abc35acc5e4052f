//! `scheduler_config.json`: the settings of the noise schedule and of a step.

use crate::accepted;
use crate::fields::{FieldError, read_known};
use crate::scheduler::accepted::{CLASSES, FIELDS, OLD_OPTIONS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The union of the fields of diffusers' `DDIMScheduler` and `DDPMScheduler` (diffusers 0.35,
/// `schedulers/scheduling_ddim.py` and `scheduling_ddpm.py`), with the same defaults. Either scheduler
/// accepts the other's file, as in diffusers' `from_pretrained`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Number of timesteps of the training schedule.
    pub num_train_timesteps: usize,
    /// Beta at timestep 0.
    pub beta_start: f64,
    /// Beta at the last timestep.
    pub beta_end: f64,
    /// `linear`, `scaled_linear`, `squaredcos_cap_v2` or `sigmoid`.
    pub beta_schedule: String,
    /// Explicit betas, one per timestep; they override the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// Clip the predicted image to plus and minus `clip_sample_range`.
    pub clip_sample: bool,
    /// Bound of `clip_sample`.
    pub clip_sample_range: f64,
    /// DDIM: the cumulative alpha below timestep 0 is 1 instead of the cumulative alpha of timestep 0.
    pub set_alpha_to_one: bool,
    /// Offset added to the timesteps of `leading` spacing.
    pub steps_offset: i64,
    /// `epsilon`, `sample` or `v_prediction`.
    pub prediction_type: String,
    /// `leading`, `trailing` or `linspace`.
    pub timestep_spacing: String,
    /// DDPM: `fixed_small`, `fixed_small_log` or `fixed_large`.
    pub variance_type: String,
    /// Only `false` is supported.
    pub thresholding: bool,
    /// Only `false` is supported.
    pub rescale_betas_zero_snr: bool,
    /// Unused: an option of `thresholding`.
    pub dynamic_thresholding_ratio: f64,
    /// Unused: an option of `thresholding`.
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

/// Errors from reading a scheduler config and building its transitions.
#[derive(Debug, Error)]
pub enum SchedulerError {
    /// A field of the file is invalid.
    #[error("scheduler config: {0}")]
    Config(FieldError),
    /// The class is not supported.
    #[error("scheduler config: `_class_name` is {found}, expected {}", CLASSES.join(" or "))]
    Class {
        /// The class in the file.
        found: String,
    },
    /// The number of inference steps is outside 1 to `train`.
    #[error("{found} inference steps: expected 1 to {train}, the steps of the training schedule")]
    Steps {
        /// Requested number of steps.
        found: usize,
        /// Steps of the training schedule.
        train: usize,
    },
    /// Eta is not a number from 0 to 1.
    #[error("eta = {0}: expected a number from 0 to 1")]
    Eta(f64),
    /// The cumulative alpha at a timestep is so close to 0 that a coefficient is not finite.
    #[error(
        "timestep {timestep}: the cumulative alpha is {alpha}, too small for a step; \
         hint: use smaller betas"
    )]
    NoSignal {
        /// First such timestep.
        timestep: i64,
        /// Cumulative alpha at that timestep.
        alpha: f64,
    },
    /// `timestep_spacing` = trailing gives another number of timesteps than steps: diffusers takes the
    /// multiples of a stride, and their number is rounded up.
    #[error(
        "{found} inference steps: `timestep_spacing` = trailing gives {timesteps} timesteps; \
         hint: use another number of steps"
    )]
    Trailing {
        /// Requested number of steps.
        found: usize,
        /// Number of timesteps.
        timesteps: usize,
    },
    /// `timestep_spacing` and `steps_offset` give a timestep outside the schedule.
    #[error("timestep {timestep} lies outside the schedule of {train} steps")]
    Timestep {
        /// First such timestep.
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
    /// Parses and validates the text of a `scheduler_config.json`. Fields that begin with `_` are
    /// diffusers' metadata and are ignored.
    ///
    /// # Errors
    /// [`SchedulerError`] names the field that is unknown or unsupported.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        let mut fields: Map<String, Value> =
            serde_json::from_str(text).map_err(FieldError::Json)?;
        if let Some(class) = fields.get("_class_name").and_then(Value::as_str)
            && !CLASSES.contains(&class)
        {
            return Err(SchedulerError::Class { found: class.into() });
        }
        for option in OLD_OPTIONS {
            fields.remove(option);
        }
        let config: Self = read_known(fields)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), FieldError> {
        accepted::check(FIELDS, self)?;
        match &self.trained_betas {
            Some(betas) if betas.len() != self.num_train_timesteps => {
                let expected = format!("{} numbers", self.num_train_timesteps);
                Err(FieldError::unsupported("trained_betas", expected, betas.len()))
            }
            _ => Ok(()),
        }
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
    fn rejects_unsupported_values_and_names_the_field() {
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
    fn rejects_values_of_the_wrong_type_and_names_the_field() {
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
    fn rejects_unknown_fields_but_accepts_metadata() {
        let message = refusal("karras_sigmas", json!(true));
        assert_eq!(message, "scheduler config: unknown field `karras_sigmas`");
        let old =
            r#"{"_class_name": "DDPMScheduler", "tensor_format": "pt", "timestep_values": null}"#;
        assert_eq!(SchedulerConfig::from_json(old).unwrap(), SchedulerConfig::default());
    }
}
