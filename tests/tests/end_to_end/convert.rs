//! `ddpo convert`: converts upstream files written by PyTorch to checkpoints and back. Every tensor is equal
//! to the bit. `make parity` checks that PyTorch reads our files.

use ddpo_checkpoint::{PickleScalar, TensorFile, modern_attention_name};
use ddpo_tests::workshop::{WEIGHTS, read_tensors};
use ddpo_tests::{Workshop, run, tree};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::Tensor;

const MODEL: &str = "model_state_dict.";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/upstream_checkpoint").join(name)
}

/// Returns a workshop with the goldens.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    tree::copy(&golden("."), &workshop.path("seed"));
    workshop
}

/// Returns the names of the parameters in PyTorch's order, by which the optimizer numbers them.
fn names() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(golden("parameters.json")).unwrap()).unwrap()
}

fn tensors_of(path: &Path) -> BTreeMap<String, Tensor> {
    let file = TensorFile::open(path).unwrap();
    file.tensors().iter().map(|info| (info.name.clone(), file.read(&info.name).unwrap())).collect()
}

#[track_caller]
fn assert_equal(one: &Tensor, other: &Tensor, name: &str) {
    assert!(one.size() == other.size() && one.kind() == other.kind() && one.equal(other), "{name}");
}

fn state(checkpoint: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(checkpoint.join("state.json")).unwrap()).unwrap()
}

/// Converts a golden and compares every tensor with the golden file.
fn converted(workshop: &Workshop, file: &str, optimizer: &str, steps: u64, best: f64) {
    let (input, out) = (format!("seed/{file}.pth"), format!("made-{file}"));
    let said =
        workshop.ddpo(&["convert", &input, "--ddpm-ckpt=seed/base", "--out", &out]).succeeded();
    assert!(said.stdout.contains(&format!("AdamW after {steps} steps")), "{said}");
    let theirs = tensors_of(&workshop.path(&input));
    let made = workshop.path(&out);
    let weights = read_tensors(&made.join(WEIGHTS));
    let own = theirs.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(MODEL)?, tensor)));
    let own: Vec<(&str, &Tensor)> = own.collect();
    assert_eq!(own.len(), weights.len());
    for (name, tensor) in own {
        assert_equal(tensor, &weights[&modern_attention_name(name)], name);
    }
    let moments = read_tensors(&made.join("optimizer.safetensors"));
    assert_eq!(moments.len(), 2 * names().len());
    for (index, name) in names().iter().enumerate() {
        for (ours, part) in [("first", "exp_avg"), ("second", "exp_avg_sq")] {
            let theirs = &theirs[&format!("{optimizer}.state.{index}.{part}")];
            assert_equal(theirs, &moments[&format!("{ours}.{name}")], name);
        }
    }
    let state = state(&made);
    assert_eq!((&state["optimizer_step"], &state["best_reward"]), (&steps.into(), &best.into()));
    for name in ["unet/config.json", "scheduler/scheduler_config.json"] {
        let read = |folder: &str| fs::read(workshop.path(folder).join(name)).unwrap();
        assert!(read(&out) == read("seed/base"), "{name}");
    }
    let card = fs::read_to_string(made.join("README.md")).unwrap();
    assert!(card.contains(&format!("`{file}.pth`")) && card.contains("library_name: diffusers"));
}

#[test]
fn converts_upstream_files_to_checkpoints_that_training_starts_from() {
    let workshop = workshop();
    converted(&workshop, "new", "optimizer_state_dict", 3, -12.5);
    // Old names of attention, a reward computed by numpy, the optimizer of a value network.
    converted(&workshop, "old", "policy_optimizer_state_dict", 5, 5.58);
    let from = ["--ddpm-ckpt=seed/base", "--resume-from-ckpt=made-new", "--num-epochs=1"];
    workshop.ddpo(&run::short(&from)).succeeded();
    // Two steps after the three in the file.
    let run = state(&workshop.path("run/checkpoints/epoch-000001"));
    assert_eq!((&run["optimizer_step"], &run["schedule_step"]), (&5.into(), &2.into()));
}

#[test]
fn a_round_trip_keeps_every_bit() {
    let workshop = workshop();
    let convert = |arguments: &[&str]| {
        workshop.ddpo(&[&["convert"], arguments].concat()).succeeded();
    };
    convert(&["seed/new.pth", "--ddpm-ckpt=seed/base", "--out=folder"]);
    convert(&["folder", "--out=back.pth"]);
    let (theirs, ours) = (golden("new.pth"), workshop.path("back.pth"));
    let (expected, found) = (tensors_of(&theirs), tensors_of(&ours));
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    expected.iter().for_each(|(name, tensor)| assert_equal(tensor, &found[name], name));
    // The order by which PyTorch numbers the optimizer's tensors.
    let order = |path: &Path| TensorFile::open(path).unwrap().order().to_vec();
    assert_eq!(order(&theirs), order(&ours));
    let scalars = |path: &Path| {
        let mut scalars = TensorFile::open(path).unwrap().scalars().clone();
        // The checkpoint does not contain the learning rate of the next step; every program sets it.
        let rate = scalars.remove("optimizer_state_dict.param_groups.0.lr");
        (scalars, rate)
    };
    assert_eq!(scalars(&theirs).0, scalars(&ours).0);

    // A checkpoint of ddpo, with learning rate and weight decay. Two conversions give the same bytes.
    workshop.ddpo(&run::short(&["--weight-decay=0.01"])).succeeded();
    for out in ["--out=one.pth", "--out=two.pth"] {
        convert(&["run/checkpoints/epoch-000002", out]);
    }
    let bytes = |name: &str| fs::read(workshop.path(name)).unwrap();
    assert!(bytes("one.pth") == bytes("two.pth"));
    let (kept, rate) = scalars(&workshop.path("one.pth"));
    let decay = &kept["optimizer_state_dict.param_groups.0.weight_decay"];
    assert_eq!(*decay, PickleScalar::Float(0.01));
    let last = run::metrics(&workshop.path("run"))[1]["lr"].as_f64().unwrap();
    assert_eq!(rate, Some(PickleScalar::Float(last)));
    convert(&["one.pth", "--ddpm-ckpt=model", "--out=again"]);
    for file in [WEIGHTS, "optimizer.safetensors"] {
        let read = |folder: &str| fs::read(workshop.path(folder).join(file)).unwrap();
        assert!(read("again") == read("run/checkpoints/epoch-000002"), "{file}");
    }
    let best = |folder: &str| state(&workshop.path(folder))["best_reward"].clone();
    assert_eq!(best("again"), best("run/checkpoints/epoch-000002"));
    assert!(best("again").is_f64());
}

#[test]
fn converts_checkpoints_without_optimizer() {
    let workshop = Workshop::new();
    workshop.ddpo(&["convert", "model", "--out=plain.pth"]).succeeded();
    let file = TensorFile::open(&workshop.path("plain.pth")).unwrap();
    assert!(file.order().iter().all(|name| name.starts_with(MODEL)), "{:?}", file.order());
    let best = &file.scalars()["best_reward"];
    assert_eq!(*best, PickleScalar::Float(f64::NEG_INFINITY), "the initial value of upstream");
    let said = workshop.ddpo(&["convert", "plain.pth", "--ddpm-ckpt=model", "--out=plain"]);
    assert!(said.succeeded().stdout.contains("weights, no optimizer and no best reward in plain"));
    assert!(!workshop.path("plain/state.json").exists());
    assert!(workshop.path("plain/README.md").exists());
    let read = |folder: &str| fs::read(workshop.path(folder).join(WEIGHTS)).unwrap();
    assert!(read("plain") == read("model"));
}

#[test]
fn rejects_unsuitable_inputs_by_name_and_writes_nothing() {
    let workshop = workshop();
    let malicious = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/vision/malicious.pth");
    fs::copy(malicious, workshop.path("malicious.pth")).unwrap();
    workshop.write("notes.pth", "not a file of tensors");
    workshop.ddpo(&["convert", "model", "--out=other.pth"]).succeeded();
    for (arguments, expected) in [
        (&["seed/new.pth", "--out=x"][..], "seed/new.pth: expected --ddpm-ckpt"),
        (&["seed/new.pth", "--ddpm-ckpt=model", "--out=x"], "does not fit the model: "),
        (&["other.pth", "--ddpm-ckpt=seed/base", "--out=x"], "does not fit the model: "),
        (
            &["notes.pth", "--ddpm-ckpt=model", "--out=x"],
            "expected a safetensors file or a file of torch.save",
        ),
        (&["malicious.pth", "--ddpm-ckpt=model", "--out=x"], "refused to run"),
        (
            &[
                "seed/base/unet/diffusion_pytorch_model.safetensors",
                "--ddpm-ckpt=seed/base",
                "--out=x",
            ],
            "expected a `model_state_dict`",
        ),
        (&["model", "--out=x"], "--out = x: expected the name of a .pth file"),
        (&["model", "--ddpm-ckpt=model", "--out=x.pth"], "model is not a file"),
        (&["nowhere", "--out=x.pth"], "nothing of that name"),
        (&["model", "--ema", "--out=x.pth"], "unet_ema"),
        (
            &["seed/new.pth", "--ddpm-ckpt=seed/base", "--out=seed"],
            "--out = seed: expected a new folder",
        ),
        (&["model", "--out=nowhere/x.pth"], "could not write `nowhere/x.pth`"),
    ] {
        let ended = workshop.ddpo(&[&["convert"], arguments].concat());
        assert!(ended.refused().contains(expected), "{arguments:?}: {ended}");
        assert!(!workshop.path("x").exists() && !workshop.path("x.pth").exists(), "{arguments:?}");
    }
    let train = run::short(&["--ddpm-ckpt=seed/base", "--resume-from-ckpt=seed/new.pth"]);
    let refused = workshop.ddpo(&train);
    let hint = "hint: convert it with ddpo convert seed/new.pth --ddpm-ckpt BASE --out FOLDER";
    assert!(refused.refused().contains(hint), "{refused}");
}
