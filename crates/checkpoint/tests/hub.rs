//! Fetches pipelines from a test Hub: download, verification, cache and offline use.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ddpo_checkpoint::hub::Network;
use ddpo_checkpoint::{Hub, HubError, HubSettings, open_pipeline, resolve};
use ddpo_files::sha256_of;
use ddpo_test_hub::{Fault, Hub as TestHub, Mishap};

const REPOSITORY: &str = "owner/model";

type Files = BTreeMap<String, Vec<u8>>;

fn weights() -> Vec<u8> {
    (0..400_000_u32).map(|at| (at % 251) as u8).collect()
}

fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Files {
    files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// Returns the files of a pipeline with a folder for each part.
fn folders() -> Files {
    files([
        ("model_index.json", br#"{"_class_name": "DDPMPipeline"}"#.to_vec()),
        ("unet/config.json", br#"{"_class_name": "UNet2DModel"}"#.to_vec()),
        ("scheduler/scheduler_config.json", br#"{"num_train_timesteps": 1000}"#.to_vec()),
        ("unet/diffusion_pytorch_model.safetensors", weights()),
        ("unet/diffusion_pytorch_model.bin", b"never fetched".to_vec()),
    ])
}

fn serve(files: Files) -> TestHub {
    TestHub::serve(REPOSITORY, files)
}

/// Starts a Hub that serves [`folders`] and fails the first `times` downloads of weights.
fn failing(what: Mishap, times: usize) -> TestHub {
    let hub = serve(folders());
    hub.fault(Fault { with: "GET /storage/", after: 0, times, what });
    hub
}

/// Returns the requests for file contents so far.
fn gets(hub: &TestHub) -> Vec<String> {
    hub.asked().into_iter().filter(|line| line.starts_with("GET")).collect()
}

/// Returns the requests to large storage so far.
fn downloads(hub: &TestHub) -> Vec<String> {
    hub.asked().into_iter().filter(|line| line.starts_with("GET /storage/")).collect()
}

fn blob(cache: &Path, bytes: &[u8]) -> PathBuf {
    cache.join("models--owner--model/blobs").join(sha256_of(bytes).unwrap())
}

fn settings(hub: &TestHub, cache: &Path) -> HubSettings {
    let mut settings = HubSettings::new(&hub.endpoint(), cache.to_owned());
    settings.patience = Duration::from_millis(500);
    settings.certificates = None;
    settings
}

fn fetch(settings: HubSettings) -> Result<PathBuf, HubError> {
    Hub::new(settings).unwrap().fetch_pipeline(REPOSITORY, None, &mut |_| {})
}

fn offline(cache: &Path) -> HubSettings {
    let mut settings = HubSettings::new("http://127.0.0.1:1", cache.to_owned());
    settings.network = Network::Offline;
    settings
}

#[test]
fn fetches_a_pipeline_once_into_the_standard_layout() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    let mut lines = Vec::new();
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    let folder =
        client.fetch_pipeline(REPOSITORY, None, &mut |line| lines.push(line.to_owned())).unwrap();
    let root = cache.path().join("models--owner--model");
    let commit = hub.head(REPOSITORY, "main");
    assert_eq!(folder, root.join("snapshots").join(&commit));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), commit);
    let opened = open_pipeline(&folder).unwrap();
    assert_eq!(fs::read(&opened.weights).unwrap(), weights());
    let link = fs::read_link(&opened.weights).unwrap();
    assert_eq!(link, Path::new("../../../blobs").join(sha256_of(&weights()[..]).unwrap()));
    assert!(lines.iter().any(|line| line.contains("fetching unet/diffusion_pytorch_model")));
    let fetched = gets(&hub).len();
    assert!(!hub.asked().iter().any(|line| line.contains("model.bin")));
    assert_eq!(client.fetch_pipeline(REPOSITORY, None, &mut |_| {}).unwrap(), folder);
    assert_eq!(gets(&hub).len(), fetched, "nothing is fetched twice");
    let asked = hub.asked().len();
    assert_eq!(client.fetch_pipeline(REPOSITORY, Some(&commit), &mut |_| {}).unwrap(), folder);
    assert_eq!(hub.asked().len(), asked, "a cached commit needs no network");
}

#[test]
fn fetches_a_pipeline_at_the_root_with_pickled_weights() {
    let root = files([
        ("config.json", b"{}".to_vec()),
        ("scheduler_config.json", b"{}".to_vec()),
        ("diffusion_pytorch_model.bin", weights()),
    ]);
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(root));
    let opened = open_pipeline(&fetch(settings(&hub, cache.path())).unwrap()).unwrap();
    assert!(opened.weights.ends_with("diffusion_pytorch_model.bin"));
    assert_eq!(fs::read(opened.weights).unwrap(), weights());
}

#[test]
fn follows_a_renamed_repository() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    hub.rename("owner/old-name", REPOSITORY);
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    open_pipeline(&client.fetch_pipeline("owner/old-name", None, &mut |_| {}).unwrap()).unwrap();
}

#[test]
fn errors_name_the_missing_repository_revision_or_file() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    let said = |name: &str, revision| {
        client.fetch_pipeline(name, revision, &mut |_| {}).unwrap_err().to_string()
    };
    assert!(said("nobody/nothing", None).contains("repository `nobody/nothing` not found"));
    assert!(said(REPOSITORY, Some("v9")).contains("no revision `v9`"));
    assert!(said("../../etc", None).contains("expected a repository"));
    assert!(said(REPOSITORY, Some("../x")).contains("expected a repository"));
    let mut left = folders();
    left.retain(|name, _| !name.contains("diffusion"));
    let hub = serve(left);
    let error = fetch(settings(&hub, cache.path())).unwrap_err().to_string();
    assert!(error.contains("expected `unet/diffusion_pytorch_model.safetensors` or"), "{error}");
}

#[test]
fn sends_the_token_to_the_hub_but_not_to_storage() {
    let hub = TestHub::gated(REPOSITORY, folders(), "hf_right");
    let cache = tempfile::tempdir().unwrap();
    let mut with = settings(&hub, cache.path());
    let error = fetch(with.clone()).unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("set HF_TOKEN"), "{error}");
    with.token = Some("hf_wrong".to_owned());
    let error = fetch(with.clone()).unwrap_err().to_string();
    assert!(error.contains("the token in HF_TOKEN") && !error.contains("hf_wrong"), "{error}");
    with.token = Some("hf_right".to_owned());
    // Storage is on another host and rejects requests that carry a token.
    fetch(with).unwrap();
    assert_eq!(downloads(&hub).len(), 1);
}

#[test]
fn resumes_an_interrupted_download() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), failing(Mishap::Cut, 2));
    let opened = open_pipeline(&fetch(settings(&hub, cache.path())).unwrap()).unwrap();
    assert_eq!(fs::read(opened.weights).unwrap(), weights());
    let ranges: Vec<String> =
        downloads(&hub).iter().map(|line| line.split(' ').skip(2).collect()).collect();
    assert_eq!(ranges, ["", "bytes=200000-", "bytes=300000-"]);
}

#[test]
fn does_not_use_an_incomplete_download() {
    // Each attempt sends half of the remaining bytes; half of one byte is 0, so progress stops.
    let mut short = folders();
    short.insert("unet/diffusion_pytorch_model.safetensors".to_owned(), vec![7; 3]);
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(short));
    hub.fault(Fault { with: "GET /storage/", after: 0, times: usize::MAX, what: Mishap::Cut });
    let error = fetch(settings(&hub, cache.path())).unwrap_err();
    assert!(matches!(error, HubError::Fetch { .. }), "{error}");
    assert!(!blob(cache.path(), &[7; 3]).exists());
    assert!(matches!(fetch(offline(cache.path())), Err(HubError::Offline { .. })));
}

#[test]
fn does_not_use_a_damaged_download() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), failing(Mishap::Corrupt, usize::MAX));
    let error = fetch(settings(&hub, cache.path())).unwrap_err().to_string();
    assert!(error.contains("expected SHA-256"), "{error}");
    assert!(!blob(cache.path(), &weights()).exists());
    hub.heal();
    fetch(settings(&hub, cache.path())).unwrap();
}

#[test]
fn uses_the_cache_without_a_network() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    let error = fetch(offline(cache.path())).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    let folder = fetch(settings(&hub, cache.path())).unwrap();
    assert_eq!(fetch(offline(cache.path())).unwrap(), folder);
    let down = settings(&hub, cache.path());
    drop(hub);
    let mut lines = Vec::new();
    let client = Hub::new(down).unwrap();
    let found =
        client.fetch_pipeline(REPOSITORY, None, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(found, folder);
    assert!(lines[0].contains("cannot be reached"), "{lines:?}");
    let other = client.fetch_pipeline("owner/other", None, &mut |_| {}).unwrap_err();
    assert!(matches!(other, HubError::Fetch { unreachable: true, .. }), "{other}");
}

#[test]
fn gives_up_on_a_hub_that_does_not_respond() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    hub.fault(Fault { with: "", after: 0, times: usize::MAX, what: Mishap::Stall });
    let begun = Instant::now();
    assert!(matches!(
        fetch(settings(&hub, cache.path())),
        Err(HubError::Fetch { unreachable: true, .. })
    ));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn concurrent_fetches_download_each_file_once() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(folders()));
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| fetch(settings(&hub, cache.path())).unwrap())).collect();
        for thread in threads {
            open_pipeline(&thread.join().unwrap()).unwrap();
        }
    });
    assert_eq!(downloads(&hub).len(), 1);
}

#[test]
fn rejects_names_that_are_neither_folder_nor_repository() {
    let error = resolve("./no/such/folder", &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("`./no/such/folder`: expected a folder or a repository"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let found = resolve(folder.path().to_str().unwrap(), &mut |_| {}).unwrap();
    assert_eq!(found, folder.path());
}

#[test]
fn fetches_every_file_of_an_index_and_a_variant() {
    let index = "diffusion_pytorch_model.safetensors.index.json";
    let shard =
        |number: u8| format!("unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors");
    let map = format!(
        r#"{{"weight_map": {{"a": "{}", "b": "{}"}}}}"#,
        shard(1).replace("unet/", ""),
        shard(2).replace("unet/", "")
    );
    let mut split = folders();
    split.retain(|name, _| !name.contains("diffusion"));
    let mut variant = split.clone();
    split.insert(format!("unet/{index}"), map.into_bytes());
    split.extend([1, 2].map(|number| (shard(number), vec![number; 9])));
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(split));
    let folder = fetch(settings(&hub, cache.path())).unwrap();
    assert!(open_pipeline(&folder).unwrap().weights.ends_with(index));
    for number in [1, 2] {
        assert_eq!(fs::read(folder.join(shard(number))).unwrap(), vec![number; 9]);
    }
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    variant.insert(half.to_owned(), weights());
    let (cache, hub) = (tempfile::tempdir().unwrap(), serve(variant));
    let opened = open_pipeline(&fetch(settings(&hub, cache.path())).unwrap()).unwrap();
    assert!(opened.weights.ends_with(half) && opened.notes[0].contains("variant fp16"));
}
