//! Writes files of tensors and pipelines; the same values give the same bytes.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use ddpo_checkpoint::{
    PickleItem, PickleScalar, PipelineToSave, TensorFile, WriteError, open_pipeline, save_pipeline,
    write_archive, write_tensors,
};
use ddpo_files::publish_folder;
use tch::{Device, Kind, Tensor};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sample() -> Vec<(String, Tensor)> {
    let ramp = Tensor::arange(24, (Kind::Float, Device::Cpu));
    vec![
        ("b".to_owned(), ramp.view([2, 3, 4])),
        ("a.half".to_owned(), ramp.to_kind(Kind::Half).view([4, 6])),
        ("a.transposed".to_owned(), ramp.view([4, 6]).transpose(0, 1)),
        ("count".to_owned(), Tensor::from(7_i64)),
        ("mask".to_owned(), Tensor::from_slice(&[true, false])),
        ("empty".to_owned(), Tensor::zeros([0, 2], (Kind::Double, Device::Cpu))),
    ]
}

#[test]
fn reads_back_written_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let metadata = BTreeMap::from([("k".to_owned(), "v \"quoted\"".to_owned())]);
    write_tensors(&path, &sample(), &metadata).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.metadata(), &metadata);
    for (name, tensor) in sample() {
        let back = file.read(&name).unwrap();
        assert!(back.kind() == tensor.kind() && back.equal(&tensor), "{name}");
        assert_eq!(back.size(), tensor.size(), "{name}");
    }
    assert_eq!(names(folder.path()), ["t.safetensors"]);
}

#[test]
fn bytes_equal_those_of_the_library_for_any_order_and_strides() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let metadata: BTreeMap<String, String> =
        (0..20).map(|at| (format!("key{at}"), at.to_string())).collect();
    let mut tensors = sample();
    write_tensors(&one, &tensors, &metadata).unwrap();
    tensors.reverse();
    for (_, tensor) in &mut tensors {
        *tensor = tensor.contiguous();
    }
    write_tensors(&two, &tensors, &metadata).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());

    let single = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    write_tensors(&one, &tensors, &single).unwrap();
    let written = fs::read(&one).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&written).unwrap();
    let info = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let library = safetensors::serialize(parsed.tensors(), Some(info)).unwrap();
    assert_eq!(written, library);
}

#[test]
fn rejects_duplicate_names_and_unsupported_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let twice = vec![("a".to_owned(), Tensor::from(1.0)), ("a".to_owned(), Tensor::from(2.0))];
    let error = write_tensors(&path, &twice, &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, WriteError::Duplicate { .. }), "{error}");
    let odd = Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu));
    let error = write_tensors(&path, &[("z".to_owned(), odd)], &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, WriteError::UnsupportedKind { .. }), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn opens_a_saved_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("runs/one/checkpoints/best");
    let tensors = vec![("conv_in.weight".to_owned(), Tensor::from_slice(&[1_f32, 2.0]))];
    let metadata = BTreeMap::new();
    let pipeline = PipelineToSave {
        unet_config: r#"{"_class_name": "UNet2DModel", "sample_size": 32}"#,
        scheduler_config: r#"{"_class_name": "DDIMScheduler"}"#,
        tensors: &tensors,
        metadata: &metadata,
    };
    publish_folder(&root, |fresh| save_pipeline(fresh, &pipeline)).unwrap();
    let opened = open_pipeline(&root).unwrap();
    assert_eq!(opened.unet_config, pipeline.unet_config);
    assert_eq!(opened.scheduler_config, pipeline.scheduler_config);
    assert_eq!(opened.root, root);
    let index = fs::read_to_string(root.join("model_index.json")).unwrap();
    assert!(index.contains("DDPMPipeline") && index.contains("DDIMScheduler"), "{index}");
    let file = TensorFile::open(&opened.weights).unwrap();
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(names(root.parent().unwrap()), ["best"]);

    let broken = PipelineToSave { unet_config: "[]", ..pipeline };
    let error = publish_folder(&root, |fresh| save_pipeline(fresh, &broken)).unwrap_err();
    assert!(error.to_string().contains("expected JSON"), "{error}");
    open_pipeline(&root).unwrap();
    assert_eq!(names(root.parent().unwrap()), ["best"]);
}

fn pickled(tensors: Vec<(String, Tensor)>) -> PickleItem {
    let pairs = tensors
        .into_iter()
        .map(|(name, tensor)| (PickleItem::Text(name), PickleItem::Tensor(tensor)));
    PickleItem::OrderedDictionary(pairs.collect())
}

#[test]
fn reads_back_an_archive_in_order_and_writes_reproducible_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = [0, 255, 256, -1, i64::from(i32::MAX) + 1, i64::MIN];
    let root = |tensors| {
        PickleItem::Dictionary(vec![
            ("state".into(), pickled(tensors)),
            ("numbers".into(), PickleItem::List(numbers.map(PickleItem::Int).into())),
            (
                PickleItem::Int(7),
                PickleItem::Tuple(vec![
                    PickleItem::Bool(true),
                    PickleItem::Nothing,
                    PickleItem::Float(-0.125),
                    "ä".into(),
                    PickleItem::Dictionary(Vec::new()),
                ]),
            ),
        ])
    };
    let paths = ["one.pth", "two.pth"].map(|name| folder.path().join(name));
    for path in &paths {
        write_archive(path, &root(sample())).unwrap();
    }
    assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    let file = TensorFile::open(&paths[0]).unwrap();
    for (name, tensor) in sample() {
        let back = file.read(&format!("state.{name}")).unwrap();
        assert!(back.kind() == tensor.kind() && back.equal(&tensor), "{name}");
        assert_eq!(back.size(), tensor.size(), "{name}");
    }
    let order: Vec<String> = sample().iter().map(|(name, _)| format!("state.{name}")).collect();
    assert_eq!(file.order(), order);
    let scalars = file.scalars();
    for (at, number) in numbers.into_iter().enumerate() {
        assert_eq!(scalars[&format!("numbers.{at}")], PickleScalar::Int(number));
    }
    assert_eq!(scalars["7.0"], PickleScalar::Bool(true));
    assert_eq!(scalars["7.2"], PickleScalar::Float(-0.125));
    assert_eq!(scalars["7.3"], PickleScalar::Text("ä".into()));
    assert_eq!(names(folder.path()), ["one.pth", "two.pth"]);

    let odd = Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu));
    let error = write_archive(&paths[0], &pickled(vec![("z".into(), odd)])).unwrap_err();
    assert!(error.to_string().contains("tensor `z`"), "{error}");
    assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap(), "the file is unchanged");
}
