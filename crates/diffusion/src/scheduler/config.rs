//! `scheduler_config.json`: the settings of the noise schedule and of a step.

use crate::accepted;
use crate::fields::{FieldError, read_known};
use crate::scheduler::accepted::{CLASSES, FIELDS, OLD_OPTIONS, SOLVER_MEANINGS, SOLVERS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The union of the fields of diffusers' `DDIMScheduler` and `DDPMScheduler` (diffusers 0.42,
/// `schedulers/scheduling_ddim.py` and `scheduling_ddpm.py`), with the same defaults for absent fields, so
/// that files of older versions are read too. Either scheduler accepts the other's file, and those of
/// [`SOLVERS`], as diffusers' `from_config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Number of timesteps of the training schedule.
    pub num_train_timesteps: usize,
    /// Beta at timestep 0.
    pub beta_start: f64,
    /// Beta at the last timestep.
    pub beta_end: f64,
    /// `linear`, `scaled_linear`, `squaredcos_cap_v2`, or with DDPM `sigmoid` or `laplace`.
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
    /// Clip the predicted image of each sample by its own quantile, instead of `clip_sample`.
    pub thresholding: bool,
    /// Rescale the betas so that the cumulative alpha of the last timestep is 0.
    pub rescale_betas_zero_snr: bool,
    /// The quantile of `thresholding`.
    pub dynamic_thresholding_ratio: f64,
    /// The largest bound of `thresholding`.
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
    #[error(
        "scheduler config: `_class_name` is {found}, expected {}, or a solver with the same betas: {}",
        CLASSES.join(" or "),
        SOLVERS.join(", ")
    )]
    Class {
        /// The class in the file.
        found: String,
    },
    /// A field of another class has a value that changes the meaning of the model.
    #[error(
        "scheduler config: `{field}` = {found} of {class} is not supported, expected {expected}"
    )]
    Solver {
        /// The class in the file.
        class: String,
        /// Name of the field.
        field: &'static str,
        /// Supported value.
        expected: &'static str,
        /// Value in the file.
        found: String,
    },
    /// The file of another class does not state its betas, whose defaults differ between classes.
    #[error(
        "scheduler config: `{field}` is missing, expected a number, as {class} has other defaults"
    )]
    NoBetas {
        /// The class in the file.
        class: String,
        /// Name of the field.
        field: &'static str,
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
         hint: use smaller betas, or `rescale_betas_zero_snr` = false"
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
        match class_of(&fields).map(str::to_owned) {
            None => {}
            Some(class) if CLASSES.contains(&class.as_str()) => {}
            Some(class) if SOLVERS.contains(&class.as_str()) => keep_shared(&class, &mut fields)?,
            Some(found) => return Err(SchedulerError::Class { found }),
        }
        for option in OLD_OPTIONS {
            fields.remove(option);
        }
        check_old_prediction(&mut fields)?;
        let config: Self = read_known(fields)?;
        config.check()?;
        Ok(config)
    }

    /// Returns a line for the user if the file has the class of a solver: only a part of it is used.
    #[must_use]
    pub fn note(text: &str) -> Option<String> {
        let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
        let class = class_of(&fields).filter(|class| SOLVERS.contains(class))?;
        let ignored: Vec<&str> = fields.keys().map(String::as_str).filter(is_solvers).collect();
        let ignored = match ignored[..] {
            [] => String::new(),
            _ => format!("; not used: {}", ignored.join(", ")),
        };
        Some(format!(
            "scheduler: the betas, timesteps and prediction type of {class} are used with ddim or ddpm{ignored}"
        ))
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

fn class_of(fields: &Map<String, Value>) -> Option<&str> {
    fields.get("_class_name").and_then(Value::as_str)
}

/// Returns whether a field belongs to a solver only.
fn is_solvers(name: &&str) -> bool {
    !name.starts_with('_') && FIELDS.iter().all(|field| field.name != *name)
}

/// Removes the fields of the solver `class` that DDIM and DDPM do not have.
fn keep_shared(class: &str, fields: &mut Map<String, Value>) -> Result<(), SchedulerError> {
    for (field, expected) in SOLVER_MEANINGS {
        let found = fields
            .get(field)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        if let Some(found) = found.filter(|found| found != expected) {
            return Err(SchedulerError::Solver { class: class.into(), field, expected, found });
        }
    }
    let has = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    if !has("trained_betas")
        && let Some(field) = ["beta_start", "beta_end"].into_iter().find(|field| !has(field))
    {
        return Err(SchedulerError::NoBetas { class: class.into(), field });
    }
    fields.retain(|name, _| !is_solvers(&name.as_str()));
    // diffusers treats null, the default of some solvers, as fixed_small.
    if fields.get("variance_type").is_some_and(Value::is_null) {
        fields.remove("variance_type");
    }
    Ok(())
}

/// Removes `predict_epsilon` of diffusers before 0.10, if it has its default. diffusers ignores the field
/// today, although false means another model.
fn check_old_prediction(fields: &mut Map<String, Value>) -> Result<(), FieldError> {
    match fields.remove("predict_epsilon") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(found) => {
            let expected = "true; hint: write `prediction_type` = sample instead of false";
            Err(FieldError::unsupported("predict_epsilon", expected, found))
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
            ("variance_type", json!("learned")),
            ("variance_type", json!("fixed_large_log")),
            ("dynamic_thresholding_ratio", json!(1.5)),
            ("sample_max_value", json!(0.0)),
            ("predict_epsilon", json!(false)),
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

    #[test]
    fn a_refusal_of_learned_variance_names_the_reason() {
        let message = refusal("variance_type", json!("learned_range"));
        assert!(message.contains("; reason: the model predicts the variance"), "{message}");
    }

    #[test]
    fn reads_the_betas_of_other_classes_and_notes_what_is_not_used() {
        let text = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.38.0",
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "set_alpha_to_one": false, "skip_prk_steps": true, "variance_type": null}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert_eq!((config.beta_start, config.beta_end), (0.00085, 0.012));
        assert_eq!(
            (config.beta_schedule.as_str(), config.set_alpha_to_one),
            ("scaled_linear", false)
        );
        let note = SchedulerConfig::note(text).unwrap();
        assert!(note.contains("of PNDMScheduler are used"), "{note}");
        assert!(note.ends_with("; not used: skip_prk_steps"), "{note}");
        assert_eq!(SchedulerConfig::note(r#"{"_class_name": "DDPMScheduler"}"#), None);
    }

    #[test]
    fn rejects_classes_without_betas_and_solvers_of_other_models() {
        let euler = |fields: &str| {
            let text = format!(r#"{{"_class_name": "EulerDiscreteScheduler", {fields}}}"#);
            SchedulerConfig::from_json(&text).unwrap_err().to_string()
        };
        let betas = r#""beta_start": 0.1, "beta_end": 0.2"#;
        let message = euler(&format!(r#"{betas}, "timestep_type": "continuous""#));
        assert!(message.contains("`timestep_type` = continuous of EulerDiscrete"), "{message}");
        let message = euler(&format!(r#"{betas}, "use_flow_sigmas": true"#));
        assert!(message.contains("`use_flow_sigmas` = true"), "{message}");
        let message = euler(r#""beta_start": 0.1"#);
        assert!(message.contains("`beta_end` is missing"), "{message}");
        let message = refusal("_class_name", json!("ScoreSdeVeScheduler"));
        assert!(message.contains("`_class_name` is ScoreSdeVeScheduler, expected"), "{message}");
    }
}
