//! Opens image models in transformers' layout and single files, from folders and from a test Hub.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use ddpo_checkpoint::hub::Network;
use ddpo_checkpoint::{
    Hub, HubError, HubSettings, files_of, locate_file, open_model, resolve_model,
};
use ddpo_test_hub::Hub as TestHub;

const FILES: [(&str, &str); 4] = [
    ("config.json", r#"{"model_type": "vit"}"#),
    ("preprocessor_config.json", r#"{"size": 224}"#),
    ("pytorch_model.bin", "weights"),
    ("flax_model.msgpack", "never fetched"),
];

fn hub(files: &[(&str, &str)]) -> TestHub {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    TestHub::serve("owner/model", files.collect())
}

fn client(hub: &TestHub, cache: &Path) -> Hub {
    let mut settings = HubSettings::new(&hub.endpoint(), cache.to_owned());
    settings.patience = Duration::from_millis(500);
    Hub::new(settings).unwrap()
}

fn offline(cache: &Path) -> Hub {
    let mut settings = HubSettings::new("http://127.0.0.1:1", cache.to_owned());
    settings.network = Network::Offline;
    Hub::new(settings).unwrap()
}

#[test]
fn fetches_a_complete_model_and_reuses_it_offline() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&FILES));
    let folder = client(&hub, cache.path()).fetch_model("owner/model", None, &mut |_| {}).unwrap();
    assert!(folder.ends_with(Path::new("snapshots").join(hub.head("owner/model", "main"))));
    let opened = open_model(&folder).unwrap();
    assert_eq!(opened.config, FILES[0].1);
    assert_eq!(opened.preprocessor, FILES[1].1);
    assert_eq!(fs::read(opened.weights).unwrap(), b"weights");
    assert!(!hub.asked().iter().any(|line| line.contains("flax")));
    drop(hub);
    let again = offline(cache.path()).fetch_model("owner/model", None, &mut |_| {}).unwrap();
    assert_eq!(again, folder);
}

#[test]
fn fetches_every_file_of_an_index() {
    let [config, preprocessor, ..] = FILES;
    let map = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let index = ("model.safetensors.index.json", map);
    let shards = [("model-1.safetensors", "one"), ("model-2.safetensors", "two")];
    let files = [&[config, preprocessor, index][..], &shards].concat();
    let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&files));
    let folder = client(&hub, cache.path()).fetch_model("owner/model", None, &mut |_| {}).unwrap();
    let weights = open_model(&folder).unwrap().weights;
    assert!(weights.ends_with(index.0));
    let [_, first, second] = &files_of(&weights).unwrap()[..] else { panic!("three files") };
    assert_eq!(fs::read(first).unwrap(), b"one");
    assert_eq!(fs::read(second).unwrap(), b"two");
}

#[test]
fn fetches_a_single_file() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&[("a/head.pth", "head")]));
    let client = client(&hub, cache.path());
    let path = client.fetch_one("owner/model", "a/head.pth", None, &mut |_| {}).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head");
    let missing = client.fetch_one("owner/model", "other.pth", None, &mut |_| {}).unwrap_err();
    assert!(matches!(missing, HubError::NoFile { .. }), "{missing}");
    let path_again =
        offline(cache.path()).fetch_one("owner/model", "a/head.pth", None, &mut |_| {}).unwrap();
    assert_eq!(path_again, path);
    let found = offline(cache.path()).fetch_model("owner/model", None, &mut |_| {});
    assert!(matches!(found, Err(HubError::Offline { .. })), "one file is not a complete model");
}

#[test]
fn errors_name_the_missing_part() {
    for gone in ["config.json", "preprocessor_config.json", "pytorch_model.bin"] {
        let left: Vec<_> = FILES.into_iter().filter(|(name, _)| *name != gone).collect();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &left {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found = open_model(folder.path()).unwrap_err().to_string();
        assert!(found.contains("is not a transformers image model"), "{found}");
        assert!(found.contains(gone), "{found}");
        let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&left));
        let fetched = client(&hub, cache.path()).fetch_model("owner/model", None, &mut |_| {});
        let found = fetched.unwrap_err().to_string();
        assert!(found.contains(gone), "{found}");
    }
}

#[test]
fn prefers_existing_folders_and_files_and_rejects_invalid_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("head.pth");
    fs::write(&file, "head").unwrap();
    assert_eq!(locate_file(file.to_str().unwrap(), None, &mut |_| {}).unwrap().path, file);
    let here = folder.path().to_str().unwrap();
    assert_eq!(resolve_model(here, None, &mut |_| {}).unwrap(), folder.path());
    for name in ["head", "owner/name", "owner/name/../head", "owner/name/.hidden", "/a/b/c", here] {
        let found = locate_file(name, None, &mut |_| {}).unwrap_err().to_string();
        assert!(found.contains("expected a file, or one on the hub"), "{name}: {found}");
    }
}

#[test]
fn reads_the_image_processor_of_a_processor_config_before_a_preprocessor_config() {
    let nested = r#"{"image_processor": {"size": 32}, "processor_class": "CLIPProcessor"}"#;
    let bare = r#"{"processor_class": "CLIPProcessor"}"#;
    let [config, preprocessor, weights, _] = FILES;
    let (nested, bare) = (("processor_config.json", nested), ("processor_config.json", bare));
    for (files, expected) in [
        (vec![config, nested, weights], nested),
        (vec![config, nested, preprocessor, weights], nested),
        (vec![config, bare, preprocessor, weights], preprocessor),
    ] {
        let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&files));
        let folder =
            client(&hub, cache.path()).fetch_model("owner/model", None, &mut |_| {}).unwrap();
        let opened = open_model(&folder).unwrap();
        assert_eq!((opened.preprocessor_file, opened.preprocessor.as_str()), expected);
    }
    let (cache, hub) = (tempfile::tempdir().unwrap(), hub(&[config, bare, weights]));
    let found = client(&hub, cache.path()).fetch_model("owner/model", None, &mut |_| {});
    assert!(found.unwrap_err().to_string().contains("preprocessor_config.json"));
    fs::write(cache.path().join(config.0), config.1).unwrap();
    fs::write(cache.path().join(bare.0), bare.1).unwrap();
    let found = open_model(cache.path()).unwrap_err().to_string();
    assert!(
        found.contains("expected `preprocessor_config.json` or `processor_config.json`"),
        "{found}"
    );
}
