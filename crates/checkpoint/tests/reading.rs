//! Reads files written by PyTorch and safetensors, and compares the values.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpo_checkpoint::{PickleError, PickleScalar, TensorFile, TensorFileError, write_tensors};
use tch::{Kind, Tensor};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn same(left: &Tensor, right: &Tensor) -> bool {
    left.kind() == right.kind() && left.size() == right.size() && left.equal(right)
}

#[test]
fn reads_every_type_and_stride_of_a_pickle() {
    let expected = TensorFile::open(&golden("state.safetensors")).unwrap();
    assert_eq!(expected.metadata().get("format").map(String::as_str), Some("pt"));
    for name in [
        "state.bin",
        "state-protocol-3.bin",
        "state-protocol-4.bin",
        "state-protocol-5.bin",
        "state-legacy.bin",
        "state.safetensors.index.json",
        "state.bin.index.json",
    ] {
        let file = TensorFile::open(&golden(name)).unwrap();
        assert_eq!(file.tensors(), expected.tensors(), "{name}");
        assert_eq!(file.tensors().len(), 19);
        for info in file.tensors() {
            let (found, wanted) =
                (file.read(&info.name).unwrap(), expected.read(&info.name).unwrap());
            assert!(same(&found, &wanted), "{name}: {}", info.name);
            assert!(found.is_contiguous(), "{name}: {}", info.name);
        }
    }
    let strides = TensorFile::open(&golden("state.bin")).unwrap();
    assert_eq!(strides.read("expanded").unwrap().stride(), [4, 1]);
}

#[test]
fn flattens_nested_dictionaries_and_reads_scalars() {
    let file = TensorFile::open(&golden("nested.pth")).unwrap();
    let weight = file.read("model_state_dict.0.weight").unwrap();
    assert_eq!(Vec::<f32>::try_from(weight.flatten(0, -1)).unwrap(), [0., 1., 2., 3., 4., 5.]);
    let batches = file.read("model_state_dict.1.num_batches_tracked").unwrap();
    assert_eq!((batches.kind(), batches.size()), (Kind::Int64, vec![]));
    let scalars = file.scalars();
    let text = |text: &str| PickleScalar::Text(text.to_owned());
    assert_eq!(scalars["best_reward"], PickleScalar::Float(1.25));
    assert_eq!(scalars["epoch"], PickleScalar::Int(3));
    assert_eq!(scalars["run_seed"], PickleScalar::Int(92013491249214123));
    assert_eq!(scalars["task"], text("jpeg compressibility"));
    assert_eq!(scalars["done"], PickleScalar::Bool(false));
    assert_eq!(scalars["history.1"], PickleScalar::Float(2.5));
    assert_eq!(scalars["history.2.0"], PickleScalar::Bool(true));
}

#[test]
fn rejects_pickles_that_call_code_without_running_them() {
    for file in ["malicious.pth", "malicious-legacy.pth"] {
        let error = TensorFile::open(&golden(file)).unwrap_err();
        let TensorFileError::Pickle { source: PickleError::RefusedGlobal { name }, .. } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(name, "posix.system");
        assert!(error.to_string().contains("refused to run `posix.system`"), "{error}");
    }
    assert!(!Path::new("/tmp/ddpo-pickle-was-run").exists());
}

#[test]
fn rejects_other_formats_and_names_them() {
    let said = |name: &str| TensorFile::open(&golden(name)).unwrap_err().to_string();
    assert!(said("bare-tensor.pth").contains("expected a dictionary of tensors"));
    assert!(said("deflated.pth").contains("compressed"));
    assert!(said("make.py").contains("expected a safetensors file or a file of torch.save"));
    assert!(said("no-such-file").contains("could not read"));
    let folder = TensorFile::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err();
    assert!(folder.to_string().contains("a folder"), "{folder}");
}

#[test]
fn rejects_truncated_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["state.bin", "state.safetensors", "nested.pth", "state-legacy.bin"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for cut in (0..whole.len()).step_by(7) {
            let path = folder.path().join("cut");
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = TensorFile::open(&path).err();
            assert!(error.is_some(), "{name} cut at {cut} of {} was opened", whole.len());
        }
    }
    let path = folder.path().join("cut");
    std::fs::write(&path, b"").unwrap();
    assert!(TensorFile::open(&path).unwrap_err().to_string().contains("an empty file"));
}

#[test]
fn rejects_files_longer_than_their_header_states() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.safetensors");
    let mut bytes = std::fs::read(golden("state.safetensors")).unwrap();
    bytes.push(0);
    std::fs::write(&path, bytes).unwrap();
    let error = TensorFile::open(&path).unwrap_err();
    assert!(matches!(error, TensorFileError::Length { .. }), "{error}");
}

#[test]
fn error_names_an_unsupported_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let json = br#"{"w":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}  "#;
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.extend([0; 8]);
    std::fs::write(&path, bytes).unwrap();
    let error = TensorFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("tensor `w`") && error.contains("U64"), "{error}");
}

#[test]
fn detects_non_finite_values_of_every_floating_point_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let kinds = [Kind::Float, Kind::Half, Kind::BFloat16, Kind::Double];
    let mut tensors = vec![("ints".to_owned(), Tensor::from_slice(&[i64::MIN, i64::MAX, -1]))];
    for kind in kinds {
        for (name, value) in [
            ("fine", 65504.0),
            ("tiny", 1e-8),
            ("infinite", f64::INFINITY),
            ("minus", f64::NEG_INFINITY),
            ("nan", f64::NAN),
        ] {
            let mut tensor = Tensor::zeros([300_001], (Kind::Double, tch::Device::Cpu));
            if matches!(kind, Kind::BFloat16 | Kind::Half) && name == "fine" {
                tensor = tensor.f_fill_(60000.0).unwrap();
            }
            let _ = tensor.get(300_000).fill_(value);
            tensors.push((format!("{kind:?}.{name}"), tensor.to_kind(kind)));
        }
    }
    write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    for info in file.tensors() {
        let expected = !["infinite", "minus", "nan"].iter().any(|bad| info.name.ends_with(bad));
        assert_eq!(file.is_finite(&info.name).unwrap(), expected, "{}", info.name);
    }
}

#[test]
fn error_names_a_missing_tensor() {
    let file = TensorFile::open(&golden("state.safetensors")).unwrap();
    assert!(file.read("nothing").unwrap_err().to_string().contains("has no tensor `nothing`"));
}

#[test]
fn reads_nested_dictionaries_of_the_legacy_format() {
    let legacy = TensorFile::open(&golden("nested-legacy.pth")).unwrap();
    let expected = TensorFile::open(&golden("nested.pth")).unwrap();
    assert_eq!(legacy.tensors(), expected.tensors());
    assert_eq!(legacy.order(), expected.order());
    assert_eq!(legacy.scalars(), expected.scalars());
    for info in expected.tensors() {
        let (found, wanted) =
            (legacy.read(&info.name).unwrap(), expected.read(&info.name).unwrap());
        assert!(same(&found, &wanted), "{}", info.name);
    }
}

#[test]
fn rejects_an_index_that_disagrees_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, tensor: &str| {
        let tensors = [(tensor.to_owned(), Tensor::from_slice(&[1.0_f32]))];
        write_tensors(&folder.path().join(name), &tensors, &BTreeMap::new()).unwrap();
    };
    write("a.safetensors", "x");
    write("b.safetensors", "y");
    write("again.safetensors", "x");
    let path = folder.path().join("model.safetensors.index.json");
    let open = |map: &str| {
        std::fs::write(&path, format!("{{\"weight_map\": {{{map}}}}}")).unwrap();
        TensorFile::open(&path)
    };
    let file = open(r#""x": "a.safetensors", "y": "b.safetensors""#).unwrap();
    assert_eq!(file.tensors().len(), 2);
    assert!(file.read("y").is_ok() && file.path() == path);
    for (map, expected) in [
        (r#""x": "b.safetensors", "y": "b.safetensors""#, "expected tensor `x` in `b.safetensors`"),
        (r#""x": "a.safetensors", "z": "b.safetensors""#, "expected tensor `z` in `b.safetensors`"),
        (
            r#""x": "a.safetensors", "y": "again.safetensors""#,
            "tensor `x` is in `a.safetensors` and",
        ),
        (r#""x": "../a.safetensors""#, "found `../a.safetensors`"),
        (r#""x": "/etc/passwd""#, "found `/etc/passwd`"),
        (r#""x": "c.safetensors""#, "could not read"),
        ("", "expected 1 to 1024 files, found 0"),
    ] {
        let message = open(map).unwrap_err().to_string();
        assert!(message.contains(expected), "{map}: {message}");
    }
    std::fs::write(&path, "[]").unwrap();
    let message = TensorFile::open(&path).unwrap_err().to_string();
    assert!(message.contains("expected an object with `weight_map`"), "{message}");
}

#[test]
fn rejects_a_safetensors_header_with_one_key_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.safetensors");
    let one = r#""w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let metadata = r#""__metadata__":{"format":"pt","format":"tf"}"#;
    for (json, key) in
        [(format!("{{{one},{one}}}"), "`w`"), (format!("{{{metadata},{one}}}"), "`format`")]
    {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.extend([0; 4]);
        std::fs::write(&path, bytes).unwrap();
        let message = TensorFile::open(&path).unwrap_err().to_string();
        let expected = format!("bad safetensors header: the key {key} occurs twice");
        assert!(message.contains(&expected), "{message}");
    }
}
