//! Pipelines are fetched from a Hub, verified, and found again without it.

#![allow(clippy::unwrap_used)]

mod small_hub;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ddpo_checkpoint::hub::Network;
use ddpo_checkpoint::{Hub, HubError, HubSettings, open_pipeline, resolve};
use small_hub::{COMMIT, Content, SmallHub, sha256};

const REPOSITORY: &str = "owner/model";

fn weights() -> Vec<u8> {
    (0..400_000_u32).map(|at| (at % 251) as u8).collect()
}

/// A pipeline with a folder for each part.
fn folders() -> Content {
    let files = [
        ("model_index.json", br#"{"_class_name": "DDPMPipeline"}"#.to_vec()),
        ("unet/config.json", br#"{"_class_name": "UNet2DModel"}"#.to_vec()),
        ("scheduler/scheduler_config.json", br#"{"num_train_timesteps": 1000}"#.to_vec()),
        ("unet/diffusion_pytorch_model.safetensors", weights()),
        ("unet/diffusion_pytorch_model.bin", b"never fetched".to_vec()),
    ];
    Content {
        files: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
        ..Content::default()
    }
}

fn settings(hub: &SmallHub, cache: &Path) -> HubSettings {
    let mut settings = HubSettings::new(&hub.endpoint(), cache.to_owned());
    settings.patience = Duration::from_millis(500);
    settings.certificates = None;
    settings
}

fn fetch(settings: HubSettings) -> Result<std::path::PathBuf, HubError> {
    Hub::new(settings).unwrap().fetch_pipeline(REPOSITORY, None, &mut |_| {})
}

fn offline(cache: &Path) -> HubSettings {
    let mut settings = HubSettings::new("http://127.0.0.1:1", cache.to_owned());
    settings.network = Network::Offline;
    settings
}

#[test]
fn a_pipeline_is_fetched_once_into_the_standard_layout() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(folders()));
    let mut lines = Vec::new();
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    let folder =
        client.fetch_pipeline(REPOSITORY, None, &mut |line| lines.push(line.to_owned())).unwrap();
    let root = cache.path().join("models--owner--model");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let opened = open_pipeline(&folder).unwrap();
    assert_eq!(fs::read(&opened.weights).unwrap(), weights());
    let link = fs::read_link(&opened.weights).unwrap();
    assert_eq!(link, Path::new("../../../blobs").join(sha256(&weights())));
    assert!(lines.iter().any(|line| line.contains("fetching unet/diffusion_pytorch_model")));
    let gets = hub.gets().len();
    assert!(!hub.requests().iter().any(|line| line.contains("model.bin")));
    assert_eq!(client.fetch_pipeline(REPOSITORY, None, &mut |_| {}).unwrap(), folder);
    assert_eq!(hub.gets().len(), gets, "nothing is fetched twice");
    let asked = hub.requests().len();
    assert_eq!(client.fetch_pipeline(REPOSITORY, Some(COMMIT), &mut |_| {}).unwrap(), folder);
    assert_eq!(hub.requests().len(), asked, "a cached commit needs no network");
}

#[test]
fn a_pipeline_at_the_root_with_pickled_weights_is_fetched() {
    let mut content = folders();
    content.files = [
        ("config.json", b"{}".to_vec()),
        ("scheduler_config.json", b"{}".to_vec()),
        ("diffusion_pytorch_model.bin", weights()),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .collect();
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let opened = open_pipeline(&fetch(settings(&hub, cache.path())).unwrap()).unwrap();
    assert!(opened.weights.ends_with("diffusion_pytorch_model.bin"));
    assert_eq!(fs::read(opened.weights).unwrap(), weights());
}

#[test]
fn a_renamed_repository_is_followed() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(folders()));
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    open_pipeline(&client.fetch_pipeline("owner/old-name", None, &mut |_| {}).unwrap()).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(folders()));
    let client = Hub::new(settings(&hub, cache.path())).unwrap();
    let said = |name: &str, revision| {
        client.fetch_pipeline(name, revision, &mut |_| {}).unwrap_err().to_string()
    };
    assert!(said("nobody/nothing", None).contains("no repository `nobody/nothing`"));
    assert!(said(REPOSITORY, Some("v9")).contains("no revision `v9`"));
    assert!(said("../../etc", None).contains("expected a repository"));
    assert!(said(REPOSITORY, Some("../x")).contains("expected a repository"));
    let mut content = folders();
    content.files.retain(|name, _| !name.contains("diffusion"));
    let hub = SmallHub::start(content);
    let error = fetch(settings(&hub, cache.path())).unwrap_err().to_string();
    assert!(error.contains("expected `unet/diffusion_pytorch_model.safetensors` or"), "{error}");
}

#[test]
fn a_token_opens_a_gated_repository_and_is_not_sent_elsewhere() {
    let store = SmallHub::start(folders());
    let mut content = folders();
    content.token = Some("hf_right".to_owned());
    // Another name for another host: `localhost` is not `127.0.0.1` to a client.
    content.elsewhere = Some(format!("http://localhost:{}", store.address.port()));
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let mut with = settings(&hub, cache.path());
    let error = fetch(with.clone()).unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("set HF_TOKEN"), "{error}");
    with.token = Some("hf_wrong".to_owned());
    let error = fetch(with.clone()).unwrap_err().to_string();
    assert!(error.contains("the token in HF_TOKEN") && !error.contains("hf_wrong"), "{error}");
    with.token = Some("hf_right".to_owned());
    fetch(with).unwrap();
    assert!(hub.requests().iter().any(|line| line.ends_with("token hf_right")));
    assert_eq!(store.gets().len(), 1);
    assert!(!store.requests().iter().any(|line| line.contains("hf_right")));
}

#[test]
fn a_broken_download_is_resumed_where_it_stopped() {
    let mut content = folders();
    content.cuts = 2;
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let opened = open_pipeline(&fetch(settings(&hub, cache.path())).unwrap()).unwrap();
    assert_eq!(fs::read(opened.weights).unwrap(), weights());
    assert!(hub.gets().iter().any(|line| line.contains("/cdn/") && line.contains("from ")));
}

#[test]
fn a_download_that_stays_cut_is_never_used() {
    let mut content = folders();
    content.cuts = usize::MAX;
    // One byte more each time would be progress; an odd length ends at a half of nothing.
    content.files.insert("unet/diffusion_pytorch_model.safetensors".to_owned(), vec![7; 3]);
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let error = fetch(settings(&hub, cache.path())).unwrap_err();
    assert!(matches!(error, HubError::Fetch { .. }), "{error}");
    let blobs = cache.path().join("models--owner--model/blobs");
    assert!(!blobs.join(sha256(&[7; 3])).exists());
    assert!(matches!(fetch(offline(cache.path())), Err(HubError::Offline { .. })));
}

#[test]
fn a_damaged_download_is_never_used() {
    let mut content = folders();
    content.corrupt = AtomicBool::new(true);
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let error = fetch(settings(&hub, cache.path())).unwrap_err().to_string();
    assert!(error.contains("expected SHA-256"), "{error}");
    assert!(!cache.path().join("models--owner--model/blobs").join(sha256(&weights())).exists());
    let whole = SmallHub::start(folders());
    fetch(settings(&whole, cache.path())).unwrap();
}

#[test]
fn the_cache_is_enough_without_a_network() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(folders()));
    let error = fetch(offline(cache.path())).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    let folder = fetch(settings(&hub, cache.path())).unwrap();
    assert_eq!(fetch(offline(cache.path())).unwrap(), folder);
    let down = settings(&hub, cache.path());
    drop(hub);
    std::thread::sleep(Duration::from_millis(50));
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
fn a_hub_that_does_not_answer_is_given_up() {
    let content = Content { stall: true, ..folders() };
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(content));
    let begun = Instant::now();
    assert!(matches!(
        fetch(settings(&hub, cache.path())),
        Err(HubError::Fetch { unreachable: true, .. })
    ));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn two_at_once_fetch_each_file_once() {
    let (cache, hub) = (tempfile::tempdir().unwrap(), SmallHub::start(folders()));
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| fetch(settings(&hub, cache.path())).unwrap())).collect();
        for thread in threads {
            open_pipeline(&thread.join().unwrap()).unwrap();
        }
    });
    let weights = hub.gets().iter().filter(|line| line.contains("/cdn/")).count();
    assert_eq!(weights, 1);
}

#[test]
fn a_name_that_is_neither_folder_nor_repository_is_named() {
    let error = resolve("./no/such/folder").unwrap_err().to_string();
    assert!(error.contains("`./no/such/folder`: expected a folder or a repository"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(resolve(folder.path().to_str().unwrap()).unwrap(), folder.path());
}
