//! Opens both layouts of a pipeline, and rejects other folders with an error that names the reason.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ddpo_checkpoint::{averaged_weights, open_pipeline};

const UNET: &str = r#"{"_class_name": "UNet2DModel"}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn said(files: &[(&str, &str)]) -> String {
    open_pipeline(folder(files).path()).unwrap_err().to_string()
}

#[test]
fn opens_parts_in_folders_and_prefers_safetensors() {
    let folder = folder(&[
        ("model_index.json", r#"{"_class_name": "DDIMPipeline"}"#),
        ("unet/config.json", UNET),
        ("unet/diffusion_pytorch_model.bin", ""),
        ("unet/diffusion_pytorch_model.safetensors", ""),
        ("scheduler/scheduler_config.json", "{}"),
    ]);
    let found = open_pipeline(folder.path()).unwrap();
    assert_eq!((found.unet_config.as_str(), found.scheduler_config.as_str()), (UNET, "{}"));
    assert_eq!(found.weights, folder.path().join("unet/diffusion_pytorch_model.safetensors"));
}

#[test]
fn opens_parts_at_the_root() {
    let folder = folder(&[
        ("config.json", "{}"),
        ("diffusion_pytorch_model.bin", ""),
        ("scheduler_config.json", "{}"),
    ]);
    let found = open_pipeline(folder.path()).unwrap();
    assert_eq!(found.weights, folder.path().join("diffusion_pytorch_model.bin"));
    assert_eq!(found.root, folder.path());
}

#[test]
fn rejects_other_pipelines_and_names_their_class() {
    let stable = ("model_index.json", r#"{"_class_name": "StableDiffusionPipeline"}"#);
    let rest = [("scheduler_config.json", "{}"), ("diffusion_pytorch_model.bin", "")];
    let conditional = ("config.json", r#"{"_class_name": "UNet2DConditionModel"}"#);
    let message = said(&[stable, conditional]);
    assert!(message.contains("found `StableDiffusionPipeline`"), "{message}");
    let message = said(&[conditional, rest[0], rest[1]]);
    assert!(message.contains("found `UNet2DConditionModel`"), "{message}");
    open_pipeline(folder(&[stable, ("config.json", UNET), rest[0], rest[1]]).path()).unwrap();
}

#[test]
fn errors_name_the_missing_file() {
    let config = ("unet/config.json", UNET);
    let scheduler = ("scheduler/scheduler_config.json", "{}");
    assert!(said(&[]).contains("expected `unet/config.json` or `config.json`"));
    assert!(said(&[config]).contains("expected `scheduler/scheduler_config.json` or"));
    assert!(said(&[config, scheduler]).contains("or `diffusion_pytorch_model.bin`"));
    assert!(said(&[("config.json", "[1]"), scheduler]).contains("expected a JSON object"));
    let nowhere = open_pipeline(Path::new("/no/such/folder")).unwrap_err().to_string();
    assert!(nowhere.contains("`/no/such/folder`: expected the folder of"), "{nowhere}");
}

#[test]
fn takes_the_only_variant_and_names_it_in_a_note() {
    let (config, scheduler) =
        (("unet/config.json", UNET), ("scheduler/scheduler_config.json", "{}"));
    let half = ("unet/diffusion_pytorch_model.fp16.safetensors", "");
    let root = folder(&[config, scheduler, half]);
    let found = open_pipeline(root.path()).unwrap();
    assert_eq!(found.weights, root.path().join(half.0));
    let note =
        "weights: diffusion_pytorch_model.fp16.safetensors, variant fp16, the only one there";
    assert_eq!(found.notes, [note]);
    let other = ("unet/diffusion_pytorch_model.bf16.bin", "");
    let message = said(&[config, scheduler, half, other]);
    assert!(message.contains("hint: there are diffusion_pytorch_model.bf16.bin, "), "{message}");
    let full = ("unet/diffusion_pytorch_model.bin", "");
    let root = folder(&[config, scheduler, half, full]);
    let found = open_pipeline(root.path()).unwrap();
    assert_eq!((found.weights, found.notes.len()), (root.path().join(full.0), 0));
}

#[test]
fn a_file_of_weights_stands_for_the_pipeline_around_it() {
    for (config, scheduler, weights) in [
        ("unet/config.json", "scheduler/scheduler_config.json", "unet/any-name.pth"),
        ("config.json", "scheduler_config.json", "any-name.safetensors"),
        ("config.json", "scheduler/scheduler_config.json", "any-name.bin"),
    ] {
        let full = weights.replace("any-name", "diffusion_pytorch_model");
        let root = folder(&[(config, UNET), (scheduler, "{}"), (weights, ""), (&full, "")]);
        let path = root.path().join(weights);
        let found = open_pipeline(&path).unwrap();
        assert_eq!((&found.weights, found.unet_config.as_str()), (&path, UNET));
        assert_eq!(found.root.canonicalize().unwrap(), root.path().canonicalize().unwrap());
    }
    let root = folder(&[
        ("model_index.json", "{}"),
        ("scheduler/scheduler_config.json", "{}"),
        ("checkpoint-7/unet/config.json", UNET),
        ("checkpoint-7/unet/diffusion_pytorch_model.bin", ""),
    ]);
    let weights = "checkpoint-7/unet/diffusion_pytorch_model.bin";
    let found = open_pipeline(&root.path().join(weights)).unwrap();
    assert!(found.root.ends_with("checkpoint-7") && found.weights.ends_with(weights));
    let root = folder(&[("lonely.pth", "")]);
    let message = open_pipeline(&root.path().join("lonely.pth")).unwrap_err().to_string();
    assert!(message.contains("expected `config.json` beside `lonely.pth`"), "{message}");
    assert!(message.contains("hint:") && message.contains("`ddpo convert`"), "{message}");
}

#[test]
fn a_folder_of_accelerate_takes_scheduler_and_config_of_the_pipeline_around_it() {
    let around = [
        ("model_index.json", r#"{"_class_name": "DDPMPipeline"}"#),
        ("unet/config.json", UNET),
        ("unet/diffusion_pytorch_model.safetensors", "finished"),
        ("scheduler/scheduler_config.json", r#"{"num_train_timesteps": 7}"#),
    ];
    for (files, weights, notes) in [
        // With the hooks of diffusers' example.
        (
            vec![
                ("checkpoint-500/unet/config.json", UNET),
                ("checkpoint-500/unet/diffusion_pytorch_model.safetensors", "hooked"),
                ("checkpoint-500/unet_ema/config.json", UNET),
                ("checkpoint-500/unet_ema/diffusion_pytorch_model.bin", "averaged"),
                ("checkpoint-500/optimizer.bin", ""),
            ],
            "hooked",
            1,
        ),
        // Without hooks.
        (vec![("checkpoint-500/model.safetensors", "plain")], "plain", 2),
        (vec![("checkpoint-500/pytorch_model.bin", "pickled")], "pickled", 2),
    ] {
        let root = folder(&[&around[..], &files[..]].concat());
        let checkpoint = root.path().join("checkpoint-500");
        let found = open_pipeline(&checkpoint).unwrap();
        assert_eq!(fs::read_to_string(&found.weights).unwrap(), weights);
        assert_eq!(found.scheduler_config, r#"{"num_train_timesteps": 7}"#);
        assert_eq!(
            (found.root.clone(), found.notes.len()),
            (checkpoint.clone(), notes),
            "{weights}"
        );
        let averaged = averaged_weights(&checkpoint).map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(averaged, (weights == "hooked").then(|| "averaged".to_owned()));
    }
    let alone = folder(&[("checkpoint-500/unet/config.json", UNET)]);
    let message = open_pipeline(&alone.path().join("checkpoint-500")).unwrap_err().to_string();
    assert!(message.contains("expected `scheduler/scheduler_config.json` or"), "{message}");
}

#[test]
fn reads_the_infinities_that_python_writes() {
    let scheduler =
        r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
    let root = folder(&[
        ("config.json", UNET),
        ("scheduler_config.json", scheduler),
        ("diffusion_pytorch_model.bin", ""),
    ]);
    let found = open_pipeline(root.path()).unwrap();
    assert_eq!(found.scheduler_config, scheduler.replace("-Infinity", "-1e308"));
}
