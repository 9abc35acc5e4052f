//! `ddpo doctor`: describes the machine, a Hub and a Redis, reachable or not.

use ddpo_test_hub::Hub;
use ddpo_test_tools::needs;
use ddpo_tests::process::command;
use ddpo_tests::services::redis_server::RedisServer;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;

fn doctor(folder: &Path, arguments: &[&str], hub: &str) -> Value {
    let mut command = command(folder, &[&["doctor", "--json"], arguments].concat());
    command.env("HF_ENDPOINT", hub).env_remove("HF_HUB_OFFLINE");
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// Returns an address at which nothing listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn describes_the_machine_and_the_reason_for_not_using_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let found = doctor(folder.path(), &[], &format!("http://{}", closed()));
    let threads = std::thread::available_parallelism().unwrap().get();
    assert_eq!(found["cpu"]["threads"], threads);
    assert!(found["memory"]["total"].as_u64() > found["memory"]["available"].as_u64());
    assert_eq!(found["libtorch"]["version"], "2.11.0");
    let path = found["libtorch"]["path"].as_str().unwrap();
    assert!(Path::new(path).is_file(), "{path}");
    for disk in found["disks"].as_array().unwrap() {
        assert!(disk["free"].as_u64() > Some(0), "{disk}");
    }
    assert_eq!(found["redis"]["state"], "not_asked");
    assert_eq!(found["hub"]["state"], "unreachable");
    let used = found["used"]["device"].as_str().unwrap();
    match found["cuda"]["reason"].as_str() {
        Some(reason) => assert_eq!(used, format!("cpu; no GPU is used: {reason}")),
        None => assert!(used.starts_with("cuda:0: "), "{used}"),
    }
}

#[test]
fn reports_whether_hub_and_redis_are_reachable() {
    needs!("redis-server");
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::empty("token", 1 << 20);
    let redis = RedisServer::start(folder.path());
    let found = doctor(folder.path(), &["--redis-url", &redis.url()], &hub.endpoint());
    for server in ["hub", "redis"] {
        assert_eq!(found[server]["state"], "reachable", "{}", found[server]);
    }
    let url = format!("redis://:secret-word@{}", closed());
    let found = doctor(folder.path(), &["--redis-url", &url], &hub.endpoint());
    assert_eq!(found["redis"]["state"], "unreachable");
    assert!(!found.to_string().contains("secret-word"), "{found}");
}

#[test]
fn prints_a_line_for_each_finding() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["doctor", "--device", "cpu"]);
    command.env("HF_HUB_OFFLINE", "1");
    let ended = command.output().unwrap();
    let text = String::from_utf8(ended.stdout).unwrap();
    for name in ["ddpo ", "machine", "cpu", "memory", "libtorch", "cuda", "redis", "hub", "disk"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
    }
    assert!(text.contains("hub        not asked: HF_HUB_OFFLINE is set"), "{text}");
    assert!(text.ends_with(" CPU threads\n") && text.contains("would use  cpu;"), "{text}");
}
