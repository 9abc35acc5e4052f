//! Opening rejects models and files that changed after the specification was made.

#![allow(clippy::unwrap_used)] // A test may panic.

mod small_model;

use ddpo_rewards::{RewardRuntime, Rewards, resolve};
use ddpo_rollout::reward::{RewardSettings, RewardSpec, Task};
use small_model::SmallModel;
use std::path::Path;

fn refusal(spec: &RewardSpec) -> String {
    let opened = Rewards::open(spec, &RewardRuntime::on_threads(1), &mut |_| {});
    opened.map(|_| ()).unwrap_err().to_string()
}

/// Appends a space, which every parser ignores.
fn change(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    content.push(b' ');
    std::fs::write(path, content).unwrap();
}

#[test]
fn digest_covers_every_file_of_a_network() {
    let shard = "model-00002-of-00002.safetensors";
    for file in ["config.json", "preprocessor_config.json", "model.safetensors", shard] {
        let model = SmallModel::write("vit");
        if file == shard {
            model.split();
        }
        let settings =
            RewardSettings { model: Some(model.path()), ..RewardSettings::new(Task::Over50) };
        let spec = resolve(&settings, &mut |_| {}).unwrap();
        assert!(Rewards::open(&spec, &RewardRuntime::on_threads(1), &mut |_| {}).is_ok());
        change(&model.folder.path().join(file));
        let found = refusal(&spec);
        let expected = format!("`{}`: expected digest ", model.path());
        assert!(found.starts_with(&expected) && found.contains("hint: "), "{file}: {found}");
    }
}

#[test]
fn rejects_a_changed_aesthetic_head() {
    let model = SmallModel::write("clip");
    let head = model.folder.path().join("head.pth");
    std::fs::write(&head, b"a head").unwrap();
    let settings = RewardSettings {
        model: Some(model.path()),
        aesthetic_head: Some(head.to_str().unwrap().to_owned()),
        ..RewardSettings::new(Task::AestheticScore)
    };
    let spec = resolve(&settings, &mut |_| {}).unwrap();
    change(&head);
    let found = refusal(&spec);
    assert!(found.contains("head.pth`: expected digest "), "{found}");
}

#[test]
fn rejects_a_changed_torchscript_file() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/torchscript");
    let golden = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let golden = golden.filter(|path| path.extension().is_some_and(|ending| ending == "pt"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reward.pt");
    std::fs::copy(golden.min().unwrap(), &path).unwrap();
    let reward: ddpo_rollout::reward::RewardExpression =
        format!("torchscript:{}", path.display()).parse().unwrap();
    let spec = resolve(&RewardSettings::new(reward), &mut |_| {}).unwrap();
    assert!(Rewards::open(&spec, &RewardRuntime::on_threads(1), &mut |_| {}).is_ok());
    change(&path);
    let found = refusal(&spec);
    assert!(found.contains("reward.pt`: expected digest "), "{found}");
}

#[test]
fn rejects_class_labels_that_differ_from_the_specification() {
    let model = SmallModel::write("vit");
    let settings =
        RewardSettings { model: Some(model.path()), ..RewardSettings::new(Task::Over50) };
    let mut spec = resolve(&settings, &mut |_| {}).unwrap();
    spec.age.as_mut().unwrap().classes[0] = "0-1".into();
    let found = refusal(&spec);
    assert!(found.contains("expected the labels 0-1"), "{found}");
}
