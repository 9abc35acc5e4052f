//! A reward server that stops answering: its deadline is a setting, and signals do not wait for it.

use ddpo_test_tools::needs;
use ddpo_tests::reward_server::RewardServer;
use ddpo_tests::services::toy;
use ddpo_tests::services::{Fleet, FleetConfig};
use ddpo_tests::{Running, Workshop, run};
use std::time::{Duration, Instant};

/// Well below the default deadline of a batch, 30 seconds.
const PROMPT: Duration = Duration::from_secs(15);

/// Starts a run, and freezes its server after three epochs.
fn frozen(workshop: &Workshop, more: &[&str]) -> (Running, RewardServer) {
    let server = RewardServer::start();
    let reward = format!("--reward={}", server.reward());
    let flags = [&[reward.as_str(), "--num-epochs=30"], more].concat();
    let flags = run::short(&flags);
    let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.starts_with("--task=")).collect();
    let mut running = workshop.start(&flags);
    let metrics = workshop.path("run/metrics.jsonl");
    let epochs = || std::fs::read_to_string(&metrics).unwrap_or_default().lines().count();
    assert!(running.reaches(|| epochs() >= 3), "the run ended before its third epoch");
    server.freeze();
    (running, server)
}

#[test]
fn ctrl_c_does_not_wait_for_an_answer() {
    let workshop = Workshop::new();
    let (running, _server) = frozen(&workshop, &[]);
    let interrupted = Instant::now();
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended}");
    assert!(interrupted.elapsed() < PROMPT, "{:?}", interrupted.elapsed());
}

#[test]
fn the_deadline_of_a_batch_is_a_setting() {
    let workshop = Workshop::new();
    let (mut running, server) = frozen(&workshop, &["--reward-deadline=1.5"]);
    let frozen = Instant::now();
    assert!(running.complains("; waiting for it, at most 600 s"));
    assert!(frozen.elapsed() < PROMPT, "{:?}", frozen.elapsed());
    server.thaw();
    running.end().succeeded();
}

#[test]
fn a_terminated_rewarder_does_not_wait_for_an_answer() {
    needs!("redis-server");
    let server = RewardServer::start();
    let task = "task = \"jpeg compressibility\"";
    assert!(toy::RUN.contains(task));
    let mut fleet = Fleet::new(FleetConfig {
        run: toy::RUN.replace(task, &format!("reward = \"{}\"", server.reward())),
        rewarder: "reward_threads = 1".into(),
        ..FleetConfig::default()
    });
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    server.freeze();
    let terminated = Instant::now();
    let status = fleet.terminate("rewarder");
    assert!(status.success(), "{status}");
    assert!(terminated.elapsed() < PROMPT, "{:?}", terminated.elapsed());
}
