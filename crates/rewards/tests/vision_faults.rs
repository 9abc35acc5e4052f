//! Opening rejects unsupported configs and tensors by name, and never runs a pickle.

#![allow(clippy::unwrap_used)] // A test may panic.

mod small_model;

use std::path::Path;

use ddpo_rewards::vision::config::{ClipConfig, Probabilities, VitConfig};
use ddpo_rewards::vision::head::AestheticHead;
use ddpo_rewards::vision::preprocess::config::{Family, PreprocessorConfig};
use ddpo_rewards::{RewardError, RewardModel, RewardRuntime};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardSettings, Task};
use serde_json::json;
use small_model::{SmallModel, goldens};
use tch::{Device, Kind, Tensor};

fn open(task: Task, model: &SmallModel) -> Result<Box<dyn RewardModel>, RewardError> {
    let settings = RewardSettings { model: Some(model.path()), ..RewardSettings::new(task) };
    ddpo_rewards::open(&settings, &RewardRuntime::on_threads(1), &mut |_| {})
}

fn refusal(task: Task, model: &SmallModel) -> String {
    open(task, model).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn names_the_missing_label() {
    let gone = SmallModel::write_changed("vit", |config, _| {
        config["id2label"].as_object_mut().unwrap().remove("6").unwrap();
    });
    let found = refusal(Task::Over50, &gone);
    assert!(found.contains("`id2label` = none for 6 is not supported"), "{found}");
    let other = SmallModel::write_changed("vit", |config, _| {
        config["id2label"]["6"] = "middle-aged".into();
    });
    let found = refusal(Task::Over50, &other);
    assert!(found.contains("found \"middle-aged\""), "{found}");
}

#[test]
fn lists_all_tensors_that_do_not_fit() {
    let model = SmallModel::write_changed("vit", |_, tensors| {
        for (name, tensor) in tensors.iter_mut() {
            if name == "vit.encoder.layer.1.attention.attention.key.weight" {
                *tensor = Tensor::zeros([16, 15], (Kind::Float, Device::Cpu));
            }
        }
        tensors.retain(|(name, _)| name != "classifier.bias");
        tensors.push(("extra.weight".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu))));
        // The pooler is allowed: the classifier does not use it.
        let pooler = Tensor::zeros([16, 16], (Kind::Float, Device::Cpu));
        tensors.push(("vit.pooler.dense.weight".to_owned(), pooler));
    });
    let found = refusal(Task::Under30, &model);
    for part in [
        "1 missing (classifier.bias)",
        "1 extra (extra.weight)",
        "key.weight: expected [16, 16], found [16, 15]",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(!found.contains("pooler"), "{found}");
}

#[test]
fn rejects_a_config_larger_than_the_file_before_allocating() {
    let model = SmallModel::write_changed("vit", |config, _| {
        config["hidden_size"] = 65_536.into();
        config["intermediate_size"] = 65_536.into();
        config["num_hidden_layers"] = 60_000.into();
    });
    let found = refusal(Task::Over50, &model);
    assert!(found.contains("values, expected") && found.contains("model.safetensors"), "{found}");
}

#[test]
fn rejects_a_processor_with_another_image_size() {
    let model = SmallModel::write("vit");
    let path = model.folder.path().join("preprocessor_config.json");
    std::fs::write(&path, r#"{"size": 20}"#).unwrap();
    let found = refusal(Task::Over50, &model);
    assert!(found.ends_with("gives images of 20x20, config.json expects 12x12"), "{found}");
    std::fs::write(&path, r#"{"size": {"shortest_edge": 12}}"#).unwrap();
    let mut reward = open(Task::Over50, &model).unwrap();
    let picture =
        |width, height| RgbImage::new(width, height, vec![9; width * height * 3]).unwrap();
    assert_eq!(reward.score(&[picture(30, 30)]).unwrap().len(), 1);
    let found = reward.score(&[picture(30, 30), picture(30, 40)]).unwrap_err().to_string();
    assert_eq!(found, "image 1: image processor: expected 12x12 for the network, found 12x16");
    let found = reward.score(&[picture(0, 0)]).unwrap_err().to_string();
    assert_eq!(found, "image 0: expected pixels, found 0x0");
}

#[test]
fn rejects_a_head_whose_pickle_runs_code() {
    let found = AestheticHead::open(&goldens().join("malicious.pth"), Device::Cpu).unwrap_err();
    let text = found.to_string();
    assert!(text.contains("refused to run") && text.contains("mkdir"), "{text}");
    assert!(!Path::new("code-ran").exists());
}

#[test]
fn names_the_tensor_of_a_head_with_another_width() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    let narrow =
        |input: i64, output: i64| Tensor::zeros([output, input], (Kind::Float, Device::Cpu));
    let tensors = [("layers.0.weight".to_owned(), narrow(512, 1024))];
    ddpo_checkpoint::write_tensors(&path, &tensors, &Default::default()).unwrap();
    let found = AestheticHead::open(&path, Device::Cpu).unwrap_err().to_string();
    assert!(found.contains("layers.0.weight: expected [1024, 768], found [1024, 512]"), "{found}");
    assert!(found.contains("9 missing"), "{found}");
}

#[test]
fn names_unsupported_config_fields() {
    for (field, value) in [
        ("model_type", json!("deit")),
        ("hidden_act", json!("mish")),
        ("num_attention_heads", json!(7)),
        ("num_attention_heads", json!(0)),
        ("hidden_size", json!(-768)),
        ("num_hidden_layers", json!(0)),
        ("num_channels", json!(1)),
        ("image_size", json!(8)),
        ("patch_size", json!(0)),
        ("layer_norm_eps", json!(-1.0)),
        ("num_labels", json!(0)),
        ("id2label", json!({"1": "a"})),
        ("id2label", json!({})),
        ("qkv_bias", json!("yes")),
        ("hidden_size", json!("wide")),
    ] {
        let mut fields = json!({"model_type": "vit"});
        fields[field] = value.clone();
        let found = VitConfig::from_json(&fields.to_string()).unwrap_err().to_string();
        // The error for a patch larger than the image names the patch.
        let named = if field == "image_size" { "patch_size" } else { field };
        assert!(found.starts_with(&format!("`{named}`")), "{field} = {value}: {found}");
    }
    assert!(ClipConfig::from_json(r#"{"model_type": "siglip"}"#).is_err());
    assert!(ClipConfig::from_json(r#"{"model_type": "clip", "vision_config": 3}"#).is_err());
    assert!(VitConfig::from_json("[]").is_err());
}

#[test]
fn names_unsupported_processor_fields() {
    for (field, value) in [
        ("image_processor_type", json!("SiglipImageProcessor")),
        ("feature_extractor_type", json!("DeiTFeatureExtractor")),
        ("resample", json!(0)),
        ("resample", json!(9)),
        ("size", json!({"longest_edge": 224})),
        ("size", json!({"shortest_edge": 224, "longest_edge": 300})),
        ("size", json!(0)),
        ("size", json!("224")),
        ("crop_size", json!({"height": 224})),
        ("crop_size", json!(-1)),
        ("do_pad", json!(true)),
        ("image_mean", json!([0.5, 0.5])),
        ("image_std", json!([0.5, 0.0, 0.5])),
        ("do_resize", json!("no")),
    ] {
        let mut fields = json!({});
        fields[field] = value.clone();
        let found = PreprocessorConfig::from_json(&fields.to_string(), Family::Clip);
        let found = found.unwrap_err().to_string();
        assert!(found.starts_with(&format!("`{field}`")), "{field} = {value}: {found}");
    }
}

#[test]
fn a_vision_config_dict_replaces_the_vision_config() {
    let read = |config: serde_json::Value| ClipConfig::from_json(&config.to_string());
    let both = json!({
        "model_type": "clip",
        "projection_dim": 24,
        "vision_config": {"hidden_size": 7, "hidden_act": "relu", "image_size": 999},
        "vision_config_dict": {"hidden_size": 48, "num_attention_heads": 4},
    });
    let alone = json!({"model_type": "clip_vision_model", "hidden_size": 48,
                       "num_attention_heads": 4, "projection_dim": 24});
    assert_eq!(read(both).unwrap(), read(alone).unwrap());
    let empty = json!({"model_type": "clip", "vision_config": null});
    assert_eq!(read(empty).unwrap(), read(json!({"model_type": "clip_vision_model"})).unwrap());
    let wrong = json!({"model_type": "clip", "vision_config": {}, "vision_config_dict": 3});
    let found = read(wrong).unwrap_err().to_string();
    assert_eq!(found, "`vision_config_dict` = 3 is not supported, expected an object or null");
}

#[test]
fn problem_types_choose_the_probabilities() {
    let read = |problem: serde_json::Value| {
        VitConfig::from_json(&json!({"model_type": "vit", "problem_type": problem}).to_string())
    };
    let probabilities = |problem| read(problem).unwrap().probabilities;
    assert_eq!(probabilities(json!(null)), Probabilities::Softmax);
    assert_eq!(probabilities(json!("single_label_classification")), Probabilities::Softmax);
    assert_eq!(probabilities(json!("multi_label_classification")), Probabilities::Sigmoid);
    let found = read(json!("regression")).unwrap_err().to_string();
    assert!(found.starts_with("`problem_type` = regression is not supported"), "{found}");
}

#[test]
fn steps_that_are_null_or_false_are_skipped_with_their_fields() {
    for skipped in [json!(null), json!(false)] {
        let text = json!({
            "do_resize": skipped, "size": "anything", "resample": 9,
            "do_rescale": skipped, "rescale_factor": null,
            "do_normalize": skipped, "image_mean": null, "image_std": [],
            "do_center_crop": skipped, "crop_size": {"depth": 3},
        });
        let nested = json!({"image_processor": text, "processor_class": "CLIPProcessor"});
        for text in [text.to_string(), nested.to_string()] {
            let config = PreprocessorConfig::from_json(&text, Family::Clip).unwrap();
            assert_eq!((config.size, config.crop), (None, None));
            assert_eq!((config.rescale_factor, config.normalize), (None, None));
        }
    }
    // A step that is done needs its fields.
    for field in ["size", "resample", "crop_size", "rescale_factor", "image_mean", "image_std"] {
        let text = json!({field: null}).to_string();
        let found = PreprocessorConfig::from_json(&text, Family::Clip).unwrap_err().to_string();
        assert!(found.starts_with(&format!("`{field}` = null is not supported")), "{found}");
    }
}

#[test]
fn ages_of_words_come_from_the_settings() {
    let model = SmallModel::write_changed("vit", |config, _| {
        config["id2label"]["6"] = "middle-aged".into();
        config["id2label"]["8"] = "old".into();
    });
    let settings = |classes: &str| RewardSettings {
        model: Some(model.path()),
        age_classes: classes.parse().unwrap(),
        ..RewardSettings::new(Task::Over50)
    };
    let open = |classes: &str| {
        ddpo_rewards::open(&settings(classes), &RewardRuntime::on_threads(1), &mut |_| {})
    };
    let components = open("middle-aged=50-59, old=70+").unwrap().describe().components;
    assert_eq!(components[6], "probability_middle-aged");
    let refusal = |classes: &str| open(classes).map(|_| ()).unwrap_err().to_string();
    let found = refusal("middle-aged=50-59");
    assert!(found.contains("found \"old\"; found the labels \"0-2\", "), "{found}");
    let found = refusal("middle-aged=50-59, senior=70+");
    assert!(found.contains("found \"senior\"; its labels: \"0-2\", "), "{found}");
}
