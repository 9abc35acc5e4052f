//! Strict loading: a file matches exactly, or one error lists every mismatch and nothing is copied.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ddpo_checkpoint::{LoadError, TensorFile, load_into, modern_attention_name, write_tensors};
use tch::{Device, Kind, Tensor};

fn file(folder: &tempfile::TempDir, tensors: &[(&str, Tensor)]) -> TensorFile {
    let path: PathBuf = folder.path().join("t.safetensors");
    let tensors: Vec<_> =
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
    write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
    TensorFile::open(&path).unwrap()
}

fn ramp(size: &[i64]) -> Tensor {
    let count = size.iter().product::<i64>();
    Tensor::arange(count, (Kind::Float, Device::Cpu)).view(size)
}

#[test]
fn converts_types_and_keeps_strides() {
    let folder = tempfile::tempdir().unwrap();
    let source = file(
        &folder,
        &[
            ("mid_block.attentions.0.query.weight", ramp(&[4, 4]).to_kind(Kind::Half)),
            ("conv.weight", ramp(&[2, 3, 4, 4])),
            ("steps", Tensor::from_slice(&[3_i64])),
        ],
    );
    let channels_last = Tensor::zeros([2, 4, 4, 3], (Kind::BFloat16, Device::Cpu));
    let targets = vec![
        (
            "mid_block.attentions.0.to_q.weight".to_owned(),
            Tensor::zeros([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true),
        ),
        ("conv.weight".to_owned(), channels_last.permute([0, 3, 1, 2])),
        ("steps".to_owned(), Tensor::zeros([1], (Kind::Int64, Device::Cpu))),
    ];
    load_into(&source, &targets, &modern_attention_name).unwrap();
    assert!(targets[0].1.equal(&ramp(&[4, 4])) && targets[0].1.requires_grad());
    assert!(targets[1].1.to_kind(Kind::Float).equal(&ramp(&[2, 3, 4, 4])));
    assert_eq!(targets[1].1.stride(), [48, 1, 12, 3]);
    assert_eq!(targets[2].1.int64_value(&[0]), 3);
}

#[test]
fn reports_all_mismatches_in_one_error_and_copies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nan = Tensor::from_slice(&[1.0_f32, f32::NAN]);
    let source = file(
        &folder,
        &[
            ("fits", ramp(&[2])),
            ("shape", ramp(&[2, 3])),
            ("kind", Tensor::from_slice(&[1_i64, 2])),
            ("nan", nan),
            ("extra.query.weight", ramp(&[2])),
        ],
    );
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let targets: Vec<_> = ["fits", "kind", "nan", "gone.a", "gone.b"]
        .into_iter()
        .map(|name| (name.to_owned(), zeros(&[2])))
        .chain([("shape".to_owned(), zeros(&[3, 2]))])
        .collect();
    let LoadError::Mismatch(found) = load_into(&source, &targets, &str::to_owned).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(found.missing, ["gone.a", "gone.b"]);
    assert_eq!(found.extra, ["extra.query.weight"]);
    assert_eq!(found.misshapen, ["shape: expected [3, 2], found [2, 3]"]);
    assert_eq!(found.mistyped, ["kind: expected Float, found Int64"]);
    assert_eq!(found.non_finite, ["nan"]);
    let said = found.to_string();
    assert!(said.contains("t.safetensors` does not fit the model: 2 missing (gone.a, gone.b)"));
    assert!(said.contains("1 non-finite (nan)"), "{said}");
    for (name, target) in &targets {
        assert_eq!(target.abs().sum(Kind::Float).double_value(&[]), 0.0, "{name}");
    }
}

#[test]
fn one_non_finite_value_prevents_all_copies() {
    let folder = tempfile::tempdir().unwrap();
    let bad = Tensor::from_slice(&[f32::INFINITY]);
    let source = file(&folder, &[("a", ramp(&[2])), ("b", bad)]);
    let target = |size: i64| Tensor::full([size], 5.0, (Kind::Float, Device::Cpu));
    let targets = vec![("a".to_owned(), target(2)), ("b".to_owned(), target(1))];
    let error = load_into(&source, &targets, &str::to_owned).unwrap_err();
    assert!(error.to_string().contains("1 non-finite (b)"), "{error}");
    assert!(targets.iter().all(|(_, tensor)| tensor.min().double_value(&[]) == 5.0));
}

#[test]
fn rejects_two_tensors_for_one_target() {
    let folder = tempfile::tempdir().unwrap();
    let source = file(
        &folder,
        &[("attentions.0.query.bias", ramp(&[2])), ("attentions.0.to_q.bias", ramp(&[2]))],
    );
    let targets =
        vec![("attentions.0.to_q.bias".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu)))];
    let error = load_into(&source, &targets, &modern_attention_name).unwrap_err();
    assert!(error.to_string().contains("1 extra (attentions.0.to_q.bias)"), "{error}");
}

#[test]
fn rejects_values_that_the_type_of_the_target_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let double = |value: f64| Tensor::from_slice(&[1.0, value]);
    let target = || vec![("w".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu)))];
    let targets = target();
    load_into(&file(&folder, &[("w", double(1e38))]), &targets, &str::to_owned).unwrap();
    assert_eq!(targets[0].1.double_value(&[1]), f64::from(1e38_f32));
    let targets = target();
    let source = file(&folder, &[("w", double(1e39))]);
    let message = load_into(&source, &targets, &str::to_owned).unwrap_err().to_string();
    assert!(message.contains("1 non-finite (w)"), "{message}");
    assert_eq!(targets[0].1.double_value(&[0]), 0.0);
}
