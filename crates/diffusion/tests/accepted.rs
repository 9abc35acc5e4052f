//! Every accepted value of a config has a golden of diffusers (`tests/goldens`), which `unet.rs` and
//! `scheduler.rs` compare with.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Tests may panic; the shared module prints.

#[expect(dead_code, reason = "the comparisons use the rest")]
mod golden;

use ddpo_diffusion::accepted::{Accepted, Field};
use ddpo_diffusion::scheduler::accepted::{
    CLASSES, FIELDS as SCHEDULER_FIELDS, OLD_OPTIONS, SOLVERS,
};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::unet::accepted::FIELDS as UNET_FIELDS;
use ddpo_diffusion::unet::config::UNetConfig;
use golden::Golden;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn tables_list_every_field() {
    for (table, config) in [
        (UNET_FIELDS, serde_json::to_value(UNetConfig::default())),
        (SCHEDULER_FIELDS, serde_json::to_value(SchedulerConfig::default())),
    ] {
        let config = config.unwrap();
        let known: BTreeSet<&str> =
            config.as_object().unwrap().keys().map(String::as_str).collect();
        let listed: BTreeSet<&str> = table.iter().map(|field| field.name).collect();
        assert_eq!(listed, known);
        assert_eq!(listed.len(), table.len(), "a field is listed twice");
    }
}

#[test]
fn every_accepted_value_of_a_unet_config_has_a_golden() {
    let default = serde_json::to_value(UNetConfig::default()).unwrap();
    let goldens = Golden::all("unet", "model-");
    let configs: Vec<Value> = goldens.iter().map(unet_config).collect();
    let missing: Vec<String> = without_golden(UNET_FIELDS, &configs, &default)
        .map(|(field, value)| format!("{} = {value}", field.name))
        .collect();
    assert!(missing.is_empty(), "no golden in tests/goldens/unet has {missing:#?}");
}

#[test]
fn every_accepted_value_of_a_scheduler_config_has_a_golden_of_each_scheduler_or_is_rejected() {
    let default = serde_json::to_value(SchedulerConfig::default()).unwrap();
    for kind in [SchedulerKind::Ddim, SchedulerKind::Ddpm] {
        let goldens = Golden::all("scheduler", &format!("{}-", kind.name()));
        let configs: Vec<Value> = goldens.iter().map(scheduler_config).collect();
        let missing: Vec<String> = without_golden(SCHEDULER_FIELDS, &configs, &default)
            .filter(|(field, value)| !rejects(kind, field, value))
            .map(|(field, value)| format!("{} = {value}", field.name))
            .collect();
        assert!(missing.is_empty(), "no golden of {} has {missing:#?}", kind.name());
    }
}

#[test]
fn every_accepted_class_and_old_option_has_a_golden() {
    let goldens = Golden::all("scheduler", "dd");
    let files: Vec<Value> = goldens.iter().map(|golden| golden.json("config")).collect();
    for class in CLASSES.iter().chain(&SOLVERS) {
        assert!(files.iter().any(|file| file["_class_name"] == *class), "no golden has {class}");
    }
    for option in OLD_OPTIONS {
        assert!(files.iter().any(|file| !file[option].is_null()), "no golden has {option}");
    }
}

#[test]
fn ddim_rejects_the_schedules_that_diffusers_has_for_ddpm_only() {
    for name in ["sigmoid", "laplace"] {
        let text = json!({ "beta_schedule": name }).to_string();
        let config = SchedulerConfig::from_json(&text).unwrap();
        let of = |kind| Transitions::new(kind, &config, 10, 1.0);
        let message = of(SchedulerKind::Ddim).unwrap_err().to_string();
        let expected = format!(
            "scheduler config: `beta_schedule` = {name} is not supported, expected linear or"
        );
        assert!(message.starts_with(&expected), "{message}");
        assert!(of(SchedulerKind::Ddpm).is_ok());
    }
}

#[test]
fn a_model_of_noise_cannot_start_where_no_signal_is_left() {
    let text = r#"{"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#;
    let config = SchedulerConfig::from_json(text).unwrap();
    for kind in [SchedulerKind::Ddim, SchedulerKind::Ddpm] {
        let message = Transitions::new(kind, &config, 10, 1.0).unwrap_err().to_string();
        let expected = "timestep 999: the cumulative alpha is 0, too small for a step; hint:";
        assert!(message.starts_with(expected), "{message}");
    }
}

fn unet_config(golden: &Golden) -> Value {
    serde_json::to_value(UNetConfig::from_json(golden.text("config")).unwrap()).unwrap()
}

fn scheduler_config(golden: &Golden) -> Value {
    serde_json::to_value(SchedulerConfig::from_json(golden.text("config")).unwrap()).unwrap()
}

/// Returns the values of a table that no config has. Of a range, the default does not count: a program
/// that ignores the field would agree with it too.
fn without_golden<'a>(
    table: &'a [Field],
    configs: &'a [Value],
    default: &'a Value,
) -> impl Iterator<Item = (&'a Field, &'a Accepted)> {
    let pairs = table.iter().flat_map(|field| field.values.iter().map(move |value| (field, value)));
    pairs.filter(move |(field, value)| {
        let usual = field.parts(&default[field.name]);
        let counts = |part: &Value| value.fits(part) && !(value.is_range() && usual.contains(part));
        !configs.iter().any(|config| field.parts(&config[field.name]).iter().any(counts))
    })
}

/// Returns whether a scheduler rejects a config with this value.
fn rejects(kind: SchedulerKind, field: &Field, value: &Accepted) -> bool {
    let value = match value {
        Accepted::Null => Value::Null,
        Accepted::Flag(flag) => json!(flag),
        Accepted::Name(name) => json!(name),
        _ => return false,
    };
    let config = SchedulerConfig::from_json(&json!({ field.name: value }).to_string()).unwrap();
    Transitions::new(kind, &config, 10, 1.0).is_err()
}
