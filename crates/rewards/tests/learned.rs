//! The learned rewards: scores from a network's outputs, independent of the batch.

#![allow(clippy::unwrap_used)] // A test may panic.

mod small_model;

use std::collections::BTreeMap;
use std::path::Path;

use ddpo_checkpoint::write_tensors;
use ddpo_rewards::vision::head::AestheticHead;
use ddpo_rewards::{RewardError, RewardModel, RewardRuntime, check};
use ddpo_rollout::reward::{AgeReward, RewardSettings, Task};
use small_model::{SmallModel, numbers};
use tch::{Device, Kind, Tensor};

/// Index in the file, inputs and outputs of the head's maps.
const MAPS: [(i64, i64, i64); 5] =
    [(0, 768, 1024), (2, 1024, 128), (4, 128, 64), (6, 64, 16), (7, 16, 1)];

/// Writes a head whose maps compute means, times 2, 3 and so on, plus 0.1, 0.2 and so on.
fn write_head(path: &Path) {
    let mut tensors = Vec::new();
    for (index, (place, input, output)) in MAPS.into_iter().enumerate() {
        let options = (Kind::Float, Device::Cpu);
        let factor = (index + 2) as f64 / input as f64;
        let weight = Tensor::full([output, input], factor, options);
        let bias = Tensor::full([output], 0.1 * (index + 1) as f64, options);
        tensors.push((format!("layers.{place}.weight"), weight));
        tensors.push((format!("layers.{place}.bias"), bias));
    }
    write_tensors(path, &tensors, &BTreeMap::new()).unwrap();
}

fn try_open(settings: &RewardSettings) -> Result<Box<dyn RewardModel>, RewardError> {
    ddpo_rewards::open(settings, &RewardRuntime::on_threads(2), &mut |_| {})
}

fn open(settings: &RewardSettings) -> Box<dyn RewardModel> {
    try_open(settings).unwrap()
}

fn refusal(settings: &RewardSettings) -> String {
    try_open(settings).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn computes_the_three_age_rewards() {
    let model = SmallModel::write("vit");
    let pictures = model.pictures("picture");
    for (task, name) in [(Task::Over50, "over50"), (Task::Under30, "under30")] {
        for age_reward in [AgeReward::Logits, AgeReward::Probability, AgeReward::LogOdds] {
            let settings = RewardSettings {
                model: Some(model.path()),
                age_reward,
                ..RewardSettings::new(task)
            };
            let mut reward = open(&settings);
            let scores = reward.score(&pictures).unwrap();
            check(&pictures, &scores).unwrap();
            let expected = model.numbers(&format!("reward.{name}.{age_reward}"));
            for (score, expected) in scores.iter().zip(expected) {
                let gap = (score.reward - expected).abs();
                assert!(gap < 1e-4, "{task}, {age_reward}: {expected}, found {}", score.reward);
            }
        }
    }
}

#[test]
fn components_are_probabilities_and_the_likeliest_class() {
    let model = SmallModel::write("vit");
    let settings =
        RewardSettings { model: Some(model.path()), ..RewardSettings::new(Task::Over50) };
    let mut reward = open(&settings);
    let names = reward.describe().components;
    assert_eq!(names[0], "probability_0-2");
    assert_eq!(
        names[8..],
        ["probability_more_than_70", "predicted_class", "classified_50_or_older"]
    );
    let logits = model.tensor("outputs");
    let expected = logits.softmax(-1, Kind::Float);
    let likeliest = numbers(&logits.argmax(-1, false));
    let scores = reward.score(&model.pictures("picture")).unwrap();
    for (index, score) in scores.iter().enumerate() {
        let found: Vec<&str> = score.components.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(found, names);
        let expected = numbers(&expected.select(0, index as i64));
        for (part, expected) in score.components.iter().zip(expected) {
            assert!((part.value - expected).abs() < 1e-5);
        }
        assert_eq!(score.components[9].value, likeliest[index]);
        assert_eq!(score.components[10].value == 1.0, likeliest[index] >= 6.0);
    }
}

#[test]
fn scores_are_bit_identical_in_any_batch() {
    let model = SmallModel::write("vit");
    let settings =
        RewardSettings { model: Some(model.path()), ..RewardSettings::new(Task::Under30) };
    let mut reward = open(&settings);
    let pictures: Vec<_> = model.pictures("picture").into_iter().cycle().take(40).collect();
    let together = reward.score(&pictures).unwrap();
    for (picture, score) in pictures.iter().zip(&together).rev() {
        assert_eq!(&reward.score(std::slice::from_ref(picture)).unwrap()[0], score);
    }
    assert!(reward.score(&[]).unwrap().is_empty());
}

#[test]
fn head_applies_its_maps_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    write_head(&path);
    let head = AestheticHead::open(&path, Device::Cpu).unwrap();
    let embeddings = Tensor::cat(
        &[
            Tensor::full([1, 768], 0.5, (Kind::Float, Device::Cpu)),
            Tensor::zeros([1, 768], (Kind::Float, Device::Cpu)),
        ],
        0,
    );
    let expected = [0.5_f64, 0.0].map(|start| {
        (0..5).fold(start, |x, index| x * f64::from(index + 2) + 0.1 * f64::from(index + 1))
    });
    for (found, expected) in numbers(&head.forward(&embeddings)).iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-4 * expected, "{expected}: {found}");
    }
}

#[test]
fn rejects_a_tower_with_another_width_than_the_head() {
    let model = SmallModel::write("clip");
    let path = model.folder.path().join("head.safetensors");
    write_head(&path);
    let settings = RewardSettings {
        model: Some(model.path()),
        aesthetic_head: Some(path.to_str().unwrap().to_owned()),
        ..RewardSettings::new(Task::AestheticScore)
    };
    let found = refusal(&settings);
    assert!(found.ends_with("expected embeddings of 768 values, found 6 in the model"), "{found}");
}

#[test]
fn aesthetic_score_is_the_head_of_the_unit_embedding() {
    // The small tower, with a projection of the head's input width.
    let model = SmallModel::write_changed("clip", |config, tensors| {
        config["projection_dim"] = 768.into();
        for (name, tensor) in tensors {
            if name == "visual_projection.weight" {
                *tensor =
                    Tensor::arange(768 * 16, (Kind::Float, Device::Cpu)).sin().view([768, 16]);
            }
        }
    });
    let path = model.folder.path().join("head.safetensors");
    write_head(&path);
    let settings = RewardSettings {
        model: Some(model.path()),
        aesthetic_head: Some(path.to_str().unwrap().to_owned()),
        ..RewardSettings::new(Task::AestheticScore)
    };
    let mut reward = open(&settings);
    assert_eq!(reward.describe().components, ["aesthetic_score"]);
    let network =
        ddpo_rewards::vision::clip::ClipVision::open(&model.open(), Kind::Float, Device::Cpu);
    let embeddings = network.unwrap().forward(&model.tensor("values"));
    let norms = embeddings.norm_scalaropt_dim(2.0, [1], true);
    // Means of the unit embedding after the maps.
    let means = numbers(&(embeddings / norms).mean_dim([1].as_slice(), false, Kind::Double));
    let scores = reward.score(&model.pictures("picture")).unwrap();
    for (score, mean) in scores.iter().zip(means) {
        let expected =
            (0..5).fold(mean, |x, index| x * (index + 2) as f32 + 0.1 * (index + 1) as f32);
        assert!((score.reward - expected).abs() < 1e-3, "{expected}: {}", score.reward);
        assert_eq!(score.components[0].value, score.reward);
    }
}
