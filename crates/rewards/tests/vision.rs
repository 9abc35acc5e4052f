//! Small ViT and CLIP networks and their image processors agree with transformers' (the goldens of
//! `tests/goldens/make_vision.py`): levels equal, inputs within 1e-6, outputs within 1e-5.

#![allow(clippy::unwrap_used)] // A test may panic.

mod small_model;

use ddpo_rewards::vision::clip::{ClipVision, unit_length};
use ddpo_rewards::vision::preprocess::ImageProcessor;
use ddpo_rewards::vision::preprocess::config::{Family, PreprocessorConfig};
use ddpo_rewards::vision::vit::VitClassifier;
use small_model::{SmallModel, gap, names, numbers};
use tch::{Device, Kind, Tensor};

fn processor(model: &SmallModel) -> ImageProcessor {
    let family = if model.is_vit() { Family::Vit } else { Family::Clip };
    let text = &model.file.metadata()["preprocessor"];
    ImageProcessor::new(PreprocessorConfig::from_json(text, family).unwrap())
}

fn forward(model: &SmallModel, kind: Kind, pixels: &Tensor) -> Tensor {
    if model.is_vit() {
        VitClassifier::open(&model.open(), kind, Device::Cpu).unwrap().forward(pixels)
    } else {
        ClipVision::open(&model.open(), kind, Device::Cpu).unwrap().forward(pixels)
    }
}

#[test]
fn preprocessing_matches_transformers() {
    let names = names();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let model = SmallModel::write(&name);
        let processor = processor(&model);
        let pictures = model.pictures("picture");
        assert_eq!(pictures.len(), 3, "{name}");
        let expected = model.tensor("values");
        let one = expected.numel() / 3;
        for (index, (picture, levels)) in pictures.iter().zip(model.pictures("levels")).enumerate()
        {
            assert_eq!(processor.levels(index, picture).unwrap(), levels, "{name}, {index}");
            let mut values = vec![f32::NAN; one];
            processor.values(index, picture, &mut values).unwrap();
            let values = Tensor::from_slice(&values);
            let expected = expected.select(0, index as i64).reshape([-1]);
            let scale = expected.abs().max().double_value(&[]).max(1.0);
            assert!(gap(&values, &expected) <= 1e-6 * scale, "{name}, picture {index}");
        }
    }
}

#[test]
fn preprocessing_does_not_depend_on_threads() {
    let model = SmallModel::write("clip");
    let (processor, pictures) = (processor(&model), model.pictures("picture"));
    let alone = processor.batch(&pictures, (12, 12), 1).unwrap();
    for threads in [0, 2, 3, 9] {
        assert_eq!(processor.batch(&pictures, (12, 12), threads).unwrap(), alone);
    }
    assert!(processor.batch(&[], (12, 12), 2).unwrap().is_empty());
}

#[test]
fn outputs_match_transformers() {
    for name in names() {
        let model = SmallModel::write(&name);
        let found = forward(&model, Kind::Float, &model.tensor("values"));
        let expected = model.tensor("outputs");
        let scale = expected.abs().max().double_value(&[]).max(1.0);
        let gap = gap(&found, &expected);
        assert!(gap <= 1e-5 * scale, "{name}: {gap:e} at a size of {scale}");
    }
}

#[test]
fn bfloat16_outputs_are_close_to_f32() {
    for name in ["vit", "clip"] {
        let model = SmallModel::write(name);
        let found = forward(&model, Kind::BFloat16, &model.tensor("values"));
        let expected = model.tensor("outputs");
        assert_eq!(found.kind(), Kind::Float);
        let (difference, size) = ((&found - &expected).norm(), expected.norm());
        let share = (difference / size).double_value(&[]);
        assert!(share > 0.0 && share < 0.05, "{name}: {share}");
    }
}

#[test]
fn unit_embeddings_keep_their_direction() {
    let embeddings = Tensor::from_slice(&[3.0_f32, 4.0, -0.5, 0.0]).view([2, 2]);
    assert_eq!(numbers(&unit_length(&embeddings)), [0.6, 0.8, -1.0, 0.0]);
}
