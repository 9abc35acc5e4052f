//! Rewards from TorchScript files, traced here by the installed libtorch.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_rewards::external::torchscript::ScriptReward;
use ddpo_rewards::{RewardModel, check};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardSource, Script};
use std::path::{Path, PathBuf};
use tch::{CModule, Device, Kind, Tensor};
use tempfile::TempDir;

const SIDE: usize = 8;

/// Returns distinct pictures of `side` pixels.
fn pictures(count: usize, side: usize) -> Vec<RgbImage> {
    let picture = |number: usize| {
        let levels = (0..side * side * 3).map(|place| (place * 31 + number * 17) as u8);
        RgbImage::new(side, side, levels.collect()).unwrap()
    };
    (0..count).map(picture).collect()
}

/// Traces `function` on pixels of `kind` and writes it as TorchScript.
fn write(
    folder: &TempDir,
    name: &str,
    kind: Kind,
    function: impl Fn(&Tensor) -> Vec<Tensor>,
) -> PathBuf {
    let side = SIDE as i64;
    let pixels = Tensor::ones([1, 3, side, side], (kind, Device::Cpu));
    let mut traced = |inputs: &[Tensor]| function(&inputs[0]);
    let module = CModule::create_by_tracing("Reward", "forward", &[pixels], &mut traced).unwrap();
    let path = folder.path().join(name);
    module.save(&path).unwrap();
    path
}

/// A file of `make goldens`.
fn golden(name: &str) -> PathBuf {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/torchscript");
    goldens.join(format!("{name}.pt"))
}

fn mean(pixels: &Tensor) -> Tensor {
    pixels.to_kind(Kind::Float).mean_dim([1, 2, 3].as_slice(), false, Kind::Float)
}

fn mean_level(image: &RgbImage) -> f32 {
    let sum: u32 = image.pixels().iter().map(|&level| u32::from(level)).sum();
    sum as f32 / image.pixels().len() as f32
}

fn script(path: &Path) -> Script {
    match format!("torchscript:{}", path.display()).parse() {
        Ok(RewardSource::Script(script)) => script,
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn open(path: &Path) -> ScriptReward {
    ScriptReward::open(&script(path), Device::Cpu).unwrap()
}

fn refusal(path: &Path) -> String {
    ScriptReward::open(&script(path), Device::Cpu).map(|_| ()).unwrap_err().to_string()
}

fn rewards(reward: &mut ScriptReward, images: &[RgbImage]) -> Vec<f32> {
    let scores = reward.score(images).unwrap();
    check(images, &scores).unwrap();
    scores.iter().map(|score| score.reward).collect()
}

#[test]
fn passes_levels_or_floats_to_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let levels = write(&folder, "mean level.pt", Kind::Uint8, |pixels| vec![mean(pixels)]);
    let unit = write(&folder, "unit.pt", Kind::Float, |pixels| {
        // A column of doubles is also accepted.
        vec![mean(pixels).unsqueeze(-1).to_kind(Kind::Double)]
    });
    let images: Vec<RgbImage> = [pictures(3, SIDE), pictures(2, 13), pictures(1, SIDE)].concat();
    let expected: Vec<f32> = images.iter().map(mean_level).collect();
    let mut reward = open(&levels);
    let described = reward.describe();
    assert_eq!((described.name.as_str(), described.components.len()), ("mean level", 0));
    for (found, expected) in rewards(&mut reward, &images).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-3, "expected {expected}, found {found}");
    }
    let mut place = unit.into_os_string();
    place.push("?input=float");
    for (found, expected) in rewards(&mut open(place.as_ref()), &images).iter().zip(&expected) {
        assert!((found * 255.0 - expected).abs() < 1e-3, "expected {expected}, found {found}");
    }
    assert_eq!(rewards(&mut reward, &[]), [0.0_f32; 0]);
}

#[test]
fn scores_do_not_depend_on_the_batch_or_on_earlier_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "network.pt", Kind::Uint8, |pixels| {
        // Products whose last bits depend on their shapes, and operations that an optimizer would fuse.
        let weight = Tensor::arange(192 * 64, (Kind::Float, Device::Cpu)).sin().view([192, 64]);
        let hidden = pixels.to_kind(Kind::Float).flatten(1, -1).matmul(&weight) / 100.0;
        vec![(hidden.tanh() * hidden.sigmoid() + &hidden).sum_dim_intlist(-1, false, Kind::Float)]
    });
    let mut reward = open(&path);
    let images = pictures(40, SIDE);
    let alone: Vec<f32> =
        images.iter().flat_map(|image| rewards(&mut reward, std::slice::from_ref(image))).collect();
    for _ in 0..3 {
        assert_eq!(rewards(&mut reward, &images), alone);
    }
    assert_eq!(rewards(&mut open(&path), &images[..7]), alone[..7]);
    let mut others = alone.clone();
    others.dedup();
    assert_eq!(others.len(), alone.len(), "all pictures have one score");
}

#[test]
fn rejects_files_that_are_not_torchscript() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.pt");
    assert_eq!(refusal(&path), format!("torchscript {}: no such file", path.display()));
    assert_eq!(
        refusal(folder.path()),
        format!("torchscript {}: no such file", folder.path().display())
    );
    let text = folder.path().join("text.pt");
    std::fs::write(&text, "import torch").unwrap();
    let checkpoint =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoint/tests/goldens/nested.pth");
    for path in [text, checkpoint] {
        let found = refusal(&path);
        let begins = format!(
            "torchscript {}: expected a file of torch.jit.save, found another: ",
            path.display()
        );
        assert!(found.starts_with(&begins) && found.contains("hint: "), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn rejects_outputs_that_are_not_scores() {
    let folder = tempfile::tempdir().unwrap();
    type Function = fn(&Tensor) -> Vec<Tensor>;
    let cases: [(&str, Function, &str); 5] = [
        ("classes", |x| vec![Tensor::stack(&[mean(x), mean(x)], 1)], "Float [1, 2]"),
        ("scalar", |x| vec![mean(x).sum(Kind::Float)], "Float []"),
        ("twice", |x| vec![Tensor::cat(&[mean(x), mean(x)], 0)], "Float [2]"),
        ("image", |x| vec![x.to_kind(Kind::Float)], "Float [1, 3, 8, 8]"),
        ("truth", |x| vec![mean(x).gt(3.0)], "Bool [1]"),
    ];
    let traced = cases
        .map(|(name, function, expected)| (write(&folder, name, Kind::Uint8, function), expected));
    let scripted = [(golden("pair"), "a tuple"), (golden("named"), "a dictionary")];
    for (path, expected) in traced.into_iter().chain(scripted) {
        let found = open(&path).score(&pictures(2, SIDE)).unwrap_err().to_string();
        let begins = format!("torchscript {}: expected one score for each image, ", path.display());
        let ends = format!("found {expected}");
        assert!(found.starts_with(&begins) && found.ends_with(&ends), "{found}");
    }
}

#[test]
fn reports_the_error_of_a_module_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        write(&folder, "view.pt", Kind::Uint8, |pixels| vec![mean(&pixels.view([1, 3, 64, 1]))]);
    let mut reward = open(&path);
    assert_eq!(rewards(&mut reward, &pictures(2, SIDE)).len(), 2);
    let found = reward.score(&pictures(1, 16)).unwrap_err().to_string();
    let begins = format!(
        "torchscript {}: the module failed on pixels Uint8 [1, 3, 16, 16]: ",
        path.display()
    );
    assert!(
        found.starts_with(&begins) && found.contains("is invalid for input of size"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 1, "{found}");
    let found = open(&golden("raising")).score(&pictures(1, 16)).unwrap_err().to_string();
    assert!(found.ends_with("ValueError: expected images of 8 pixels, found 16"), "{found}");
}

#[test]
fn runs_a_module_saved_in_training_mode_in_evaluation_mode() {
    let images = pictures(5, SIDE);
    let found = rewards(&mut open(&golden("training")), &images);
    for (image, found) in images.iter().zip(found) {
        assert!((found - mean_level(image)).abs() < 1e-3, "found {found}");
    }
}

#[test]
fn rejects_infinite_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "log.pt", Kind::Uint8, |pixels| vec![mean(pixels).log()]);
    let black = RgbImage::new(SIDE, SIDE, vec![0; SIDE * SIDE * 3]).unwrap();
    let images = [pictures(1, SIDE), vec![black]].concat();
    let scores = open(&path).score(&images).unwrap();
    let found = check(&images, &scores).unwrap_err().to_string();
    assert_eq!(found, "image 1: expected a finite reward, found -inf");
}
