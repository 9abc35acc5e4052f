//! Tests the order of the sources and their error messages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ddpo_settings::Layers;
use std::path::Path;

ddpo_settings::settings! {
    /// Settings without other tables.
    pub struct Settings;
    values {
        /// A count
        batch_size: usize = 5;
        /// A number
        rate: f64 = 0.1;
        /// A text
        name: String = "a".into();
    }
    optional {
        /// A number that can be absent
        stop: f64 = 0.0;
    }
}

fn layers() -> Layers {
    Layers::flat(&Settings::default()).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Vec<_>>().into_iter()
}

#[test]
fn flags_override_environment_file_and_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "batch_size = 6\nrate = 2\nname = \"file\"").unwrap();
    let mut layers = layers();
    layers.file(&path).unwrap();
    layers.environment("X_", &[], pairs(&[("X_RATE", "3"), ("X_NAME", "env")])).unwrap();
    layers.flags(pairs(&[("name", "flag"), ("stop", "1e-3")])).unwrap();
    let expected = Settings { batch_size: 6, rate: 3.0, name: "flag".into(), stop: Some(1e-3) };
    assert_eq!(layers.finish::<Settings>().unwrap(), expected);
}

#[test]
fn error_for_an_unknown_variable_names_the_nearest_setting() {
    let error =
        layers().environment("X_", &["X_OTHER"], pairs(&[("X_BATCHSIZE", "3")])).unwrap_err();
    let expected = "X_BATCHSIZE: unknown setting `batchsize`; hint: did you mean `batch_size`?";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn error_for_a_value_of_the_wrong_type_names_its_source() {
    let error = layers().flags(pairs(&[("batch_size", "five")])).unwrap_err();
    let expected = "--batch-size: batch_size = five: expected a whole number";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn rejects_a_negative_count() {
    let mut layers = layers();
    layers.flags(pairs(&[("batch_size", "-5")])).unwrap();
    let message = layers.finish::<Settings>().unwrap_err().to_string();
    assert!(message.starts_with("--batch-size: batch_size = -5: "), "{message}");
}

#[test]
fn binary_without_tables_rejects_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "[train]\nbatch_size = 6\n").unwrap();
    let message = layers().file(&path).unwrap_err().to_string();
    assert!(message.contains("settings.toml: unknown setting `train`"), "{message}");
}

#[test]
fn syntax_errors_name_the_file_and_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, "rate = 1\nbatch_size 6\n").unwrap();
    let message = layers().file(&path).unwrap_err().to_string();
    assert!(message.contains("settings.toml: line 2: key with no value"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn error_names_a_missing_file() {
    let message = layers().file(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(message.starts_with("settings file no/such.toml: "), "{message}");
}
