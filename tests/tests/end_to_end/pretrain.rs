//! `ddpo pretrain --init` keeps the scheduler of the checkpoint that it starts from: for its noise, its
//! targets and the pipeline that it saves. `make parity` lets diffusers open the pipeline.

use ddpo_tests::workshop::{WEIGHTS, change_json};
use ddpo_tests::{Ended, Workshop};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Makes the checkpoint `name`: the model with other scheduler settings.
fn checkpoint(workshop: &Workshop, name: &str, settings: &[(&str, Value)]) {
    workshop.spoilt(name, |root| {
        for (field, value) in settings {
            change_json(&root.join(SCHEDULER), field, value.clone());
        }
    });
}

/// Pretrains two steps on drawn faces, from the checkpoint `init` into `out`.
fn pretrain(workshop: &Workshop, init: &str, out: &str, flags: &[&str]) -> Ended {
    let (init, out) = (format!("--init={init}"), format!("--out={out}"));
    let fixed = ["pretrain", "--faces=4", "--steps=2", "--batch-size=4", "--threads=1"];
    let paths = [init.as_str(), out.as_str(), "--device=cpu"];
    workshop.ddpo(&[&fixed[..], &paths, flags].concat()).succeeded()
}

fn weights(workshop: &Workshop, name: &str) -> Vec<u8> {
    fs::read(workshop.path(name).join(WEIGHTS)).unwrap()
}

fn scheduler(root: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(root.join(SCHEDULER)).unwrap()).unwrap()
}

#[test]
fn keeps_every_setting_of_the_checkpoints_scheduler() {
    let workshop = Workshop::new();
    let betas: Vec<f64> = (1..=100).map(|index| f64::from(index) * 2e-4).collect();
    checkpoint(
        &workshop,
        "velocity",
        &[
            ("prediction_type", json!("v_prediction")),
            ("num_train_timesteps", json!(100)),
            ("trained_betas", json!(betas)),
            ("clip_sample", json!(false)),
            ("clip_sample_range", json!(2.5)),
            ("timestep_spacing", json!("linspace")),
            ("variance_type", json!("fixed_large")),
            ("steps_offset", json!(1)),
            ("_class_name", json!("DDIMScheduler")),
            ("_name_or_path", json!("somewhere")),
        ],
    );
    let ended = pretrain(&workshop, "velocity", "out", &[]);
    assert!(!ended.stderr.contains("--prediction-type"), "{ended}");
    let read = |name: &str| fs::read(workshop.path(name).join(SCHEDULER)).unwrap();
    assert!(read("out") == read("velocity"), "the bytes of {SCHEDULER}");
    let index = fs::read_to_string(workshop.path("out/model_index.json")).unwrap();
    assert!(index.contains("\"DDIMScheduler\""), "{index}");
}

#[test]
fn learns_the_targets_at_the_noise_levels_of_the_checkpoints_scheduler() {
    let workshop = Workshop::new();
    checkpoint(&workshop, "velocity", &[("prediction_type", json!("v_prediction"))]);
    checkpoint(&workshop, "sharp", &[("beta_end", json!(0.001))]);
    pretrain(&workshop, "model", "from-model", &[]);
    pretrain(&workshop, "velocity", "from-velocity", &[]);
    pretrain(&workshop, "sharp", "from-sharp", &[]);
    // The checkpoints have equal weights, so the flag alone makes the same run.
    pretrain(&workshop, "model", "asked", &["--prediction-type=v_prediction"]);
    let [model, velocity, sharp, asked] =
        ["from-model", "from-velocity", "from-sharp", "asked"].map(|one| weights(&workshop, one));
    assert!(velocity == asked, "the targets follow the checkpoint's prediction type");
    assert!(velocity != model, "the prediction type has an effect");
    assert!(sharp != model, "the betas have an effect");
}

#[test]
fn a_given_prediction_type_replaces_the_checkpoints_and_is_reported() {
    let workshop = Workshop::new();
    let settings = [("beta_schedule", json!("scaled_linear")), ("clip_sample", json!(false))];
    checkpoint(&workshop, "scaled", &settings);
    let ended = pretrain(&workshop, "scaled", "out", &["--prediction-type=sample"]);
    let lines = ended.stderr.lines().filter(|line| line.contains("--prediction-type"));
    let expected = "--prediction-type: the model will predict sample, which replaces epsilon in the \
                    scheduler config of scaled";
    assert_eq!(lines.collect::<Vec<_>>(), [expected]);
    let mut wanted = scheduler(&workshop.path("scaled"));
    wanted["prediction_type"] = json!("sample");
    assert_eq!(scheduler(&workshop.path("out")), wanted);
    // Asking for the checkpoint's own type changes nothing.
    let ended = pretrain(&workshop, "scaled", "again", &["--prediction-type=epsilon"]);
    assert!(!ended.stderr.contains("--prediction-type"), "{ended}");
    assert_eq!(scheduler(&workshop.path("again")), scheduler(&workshop.path("scaled")));
}

#[test]
fn rejects_a_model_whose_output_has_other_channels_than_its_input() {
    let workshop = Workshop::new();
    change_json(&workshop.path("model/unet/config.json"), "out_channels", json!(1));
    let command = ["pretrain", "--unet-config=model/unet/config.json", "--steps=1", "--out=out"];
    let ended = workshop.ddpo(&command);
    assert_eq!(
        ended.refused(),
        "model/unet/config.json: `out_channels` = 1: expected 3, equal to `in_channels`"
    );
}
