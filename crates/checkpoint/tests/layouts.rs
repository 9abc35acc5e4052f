//! Opens both layouts of a pipeline, and rejects other folders with an error that names the reason.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ddpo_checkpoint::open_pipeline;

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
    let sharded = ("unet/diffusion_pytorch_model.safetensors.index.json", "{}");
    assert!(said(&[config, scheduler, sharded]).contains("split over several files"));
    assert!(said(&[("config.json", "[1]"), scheduler]).contains("expected a JSON object"));
    let nowhere = open_pipeline(Path::new("/no/such/folder")).unwrap_err().to_string();
    assert!(nowhere.contains("`/no/such/folder`: expected the folder of"), "{nowhere}");
}
