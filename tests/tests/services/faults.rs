//! A failing device: the service names the fault and the setting to change, returns its work, is not ready,
//! and exits with the fault's status. The run ends with the same bytes as an undisturbed run.

use ddpo_test_tools::needs;
use ddpo_tests::process::{self, Ended, Running};
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig, PATIENCE, toy, until};
use ddpo_tests::{Workshop, binary, run, tree};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Instant;
use tch::{CModule, Device, Kind, Tensor};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// libtorch's text after an illegal memory access.
const STICKY: &str = "CUDA error: an illegal memory access was encountered\nSearch for \
    `cudaErrorIllegalAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api for more information.\n\
    CUDA kernel errors might be asynchronously reported at some other API call.";

/// The message after the service's name.
const STICKY_MESSAGE: &str = "fault of the GPU: an illegal memory access was encountered; hint: start \
    the process again; if the fault comes back, look for Xid errors of the GPU in the kernel's log";

/// Exit status after it.
const STICKY_STATUS: i32 = 70;

/// libtorch's text when a GPU is out of memory.
const OUT_OF_MEMORY: &str = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity \
    of 23.68 GiB of which 212.81 MiB is free. Including non-PyTorch memory, this process has 23.46 GiB \
    memory in use. Of the allocated memory 22.90 GiB is allocated by PyTorch.";

/// The message between the service's name and the hint.
const OUT_OF_MEMORY_MESSAGE: &str = "out of memory on GPU 0: tried to allocate 2.50 GiB, found 212.81 MiB \
    free of 23.68 GiB; hint: ";

/// Exit status after it.
const OUT_OF_MEMORY_STATUS: i32 = 71;

/// The rewarder, and the condition that its device's thread sets.
const REWARDER: (&str, &str) = ("rewarder", "model");

/// The learner, and the condition that its device's thread sets.
const LEARNER: (&str, &str) = ("learner", "run");

/// Collects a service's health statuses until it exits.
fn statuses(address: &str) -> JoinHandle<Vec<ServingStatus>> {
    let address = format!("http://{address}");
    std::thread::spawn(move || {
        block_on(async {
            let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
            let mut client = HealthClient::new(channel);
            let watched = client.watch(HealthCheckRequest::default()).await.unwrap();
            let (mut stream, mut statuses) = (watched.into_inner(), Vec::new());
            while let Ok(Ok(Some(answer))) = timeout(PATIENCE, stream.message()).await {
                statuses.push(answer.status());
            }
            statuses
        })
    })
}

/// Returns the lines of a log with this message.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["message"].as_str() == Some(message)).collect()
}

/// Waits until a failing service exits. Checks that it was ready, that its `condition` is unmet, that
/// it prints one line with all of `parts`, and that its exit status is `status`.
#[track_caller]
#[expect(clippy::print_stdout, reason = "prints measurements")]
fn ends_with(fleet: &mut Fleet, (name, condition): (&str, &str), status: i32, parts: &[&str]) {
    let statuses = statuses(&fleet.address(name).to_string());
    let since = Instant::now();
    let ended = fleet.service(name).ends();
    println!("measured: {name} ended {:.2} s after it listened", since.elapsed().as_secs_f64());
    let log = fleet.service(name).text();
    assert_eq!(ended.code(), Some(status), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(errors.len(), 1, "expected one line beside the log, found {errors:?}");
    println!("printed: {}", errors[0]);
    for part in parts {
        assert!(errors[0].contains(part), "no `{part}` in {}", errors[0]);
    }
    let statuses = statuses.join().unwrap();
    let ready = statuses.iter().position(|&status| status == ServingStatus::Serving);
    let rest = &statuses[ready.expect("it was ready once") + 1..];
    // The process may exit before it sends the last answer.
    assert!(rest.iter().all(|&status| status == ServingStatus::NotServing), "{statuses:?}");
    let unmet = lines(&log, "condition not met").pop().unwrap();
    assert_eq!(unmet["condition"], condition, "{unmet}");
    assert!(errors[0].contains(unmet["reason"].as_str().unwrap()), "{unmet}");
}

/// Makes a sampler fail in the middle of its second order.
#[track_caller]
fn sampler_fails(text: &str, status: i32, parts: &[&str]) {
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.fails("sampler-1", 2, text);
    fleet.sampler("sampler-1");
    ends_with(&mut fleet, ("sampler-1", "device"), status, parts);
    let log = fleet.service("sampler-1").text();
    assert_eq!(lines(&log, "batch failed").len(), 1, "{log}");
    assert_eq!(lines(&log, "order handed back").len(), 1, "{log}");
    let pending = block_on(fleet.store().pending()).unwrap();
    assert!(pending.iter().all(|order| order.in_flight.is_none()), "{pending:?}");
    fleet.bury("sampler-1");
    fleet.sampler("sampler-2");
    let other = fleet.inspector("sampler-2");
    fleet.finishes("learner");
    // Only the returned order was taken a second time.
    assert_eq!(other.counter("orders_claimed"), Some(1));
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_sampler_with_a_failed_gpu_returns_its_order_once_and_exits() {
    needs!("redis-server");
    let message = format!("error: sampler: {STICKY_MESSAGE}");
    sampler_fails(STICKY, STICKY_STATUS, &[&message]);
}

#[test]
fn a_sampler_out_of_memory_returns_its_order_once_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: sampler: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "sample_batch_size", "dtype = \"bf16\""];
    sampler_fails(OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS, &parts);
}

/// Makes a service fail at its third batch or optimizer step, and restarts it on a working device.
#[track_caller]
fn fails_and_is_started_again(service: (&str, &str), fault: (&str, i32), parts: &[&str]) {
    let (mut fleet, (name, _)) = (Fleet::new(FleetConfig::default()), service);
    fleet.fails(name, 3, fault.0);
    fleet.one_of_each();
    ends_with(&mut fleet, service, fault.1, parts);
    fleet.works(name);
    fleet.start_again(name);
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_rewarder_with_a_failed_gpu_exits() {
    needs!("redis-server");
    let message = format!("error: rewarder: {STICKY_MESSAGE}");
    fails_and_is_started_again(REWARDER, (STICKY, STICKY_STATUS), &[&message]);
}

#[test]
fn a_rewarder_out_of_memory_exits_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: rewarder: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "max_batch", "reward_dtype = \"bf16\""];
    let fault = (OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS);
    fails_and_is_started_again(REWARDER, fault, &parts);
}

#[test]
fn a_learner_with_a_failed_gpu_exits_and_resumes() {
    needs!("redis-server");
    let message = format!("error: learner: {STICKY_MESSAGE}");
    fails_and_is_started_again(LEARNER, (STICKY, STICKY_STATUS), &[&message]);
}

#[test]
fn a_learner_out_of_memory_exits_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: learner: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "micro_batch_size", "dtype = \"bf16\""];
    let fault = (OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS);
    fails_and_is_started_again(LEARNER, fault, &parts);
}

/// A lease that outlasts the test would keep the standby waiting.
#[test]
fn a_standby_takes_over_at_once_from_a_learner_with_a_broken_gpu() {
    needs!("redis-server");
    let learner = "lease_seconds = 600.0".into();
    let mut fleet = Fleet::new(FleetConfig { learner, ..FleetConfig::default() });
    fleet.fails("learner", 3, STICKY);
    fleet.learner("learner", &[]);
    until("the lease", || fleet.service("learner").line("condition met"));
    fleet.learner("another", &["--standby"]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    ends_with(&mut fleet, LEARNER, STICKY_STATUS, &[STICKY_MESSAGE]);
    let log = fleet.service("learner").text();
    assert_eq!(lines(&log, "the lease is given back").len(), 1, "{log}");
    fleet.bury("learner");
    fleet.finishes("another");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_sampler_whose_draws_fail_backs_off_and_says_what_fails() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.refuses("sampler", 2, 3, "no such mean");
    fleet.sampler("sampler");
    fleet.finishes("learner");
    let log = fleet.service("sampler").text();
    let times = |message| -> Vec<f64> {
        lines(&log, message).iter().map(|line| seconds(&line["timestamp"])).collect()
    };
    let (failed, handed_back) = (times("batch failed"), times("order handed back"));
    assert_eq!((failed.len(), handed_back.len()), (3, 3), "{log}");
    for (failed, handed_back) in failed.iter().zip(&handed_back) {
        assert!(handed_back - failed < 0.25, "{failed} {handed_back}");
    }
    for (pair, pause) in failed.windows(2).zip([0.3, 0.6]) {
        assert!(pair[1] - pair[0] >= pause, "{failed:?}");
    }
    let of_device = |line: &Value| line["condition"] == "device";
    let unmet = lines(&log, "condition not met").into_iter().find(of_device).unwrap();
    let reason = unmet["reason"].as_str().unwrap();
    assert!(reason.starts_with("drawing fails: ") && reason.contains("no such mean"), "{unmet}");
    let met = lines(&log, "condition met").into_iter().filter(of_device).count();
    assert_eq!(met, 2, "set up, and drawing again: {log}");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

/// The second of its day of a log line's time.
fn seconds(timestamp: &Value) -> f64 {
    let text = timestamp.as_str().unwrap();
    let time = text.split_once('T').unwrap().1.trim_end_matches('Z');
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// Runs `ddpo train` on the toy run; from its `call`-th batch of `stage` on libtorch's errors have this
/// text.
fn train_fails(folder: &Path, stage: &str, call: usize, text: &str) -> Ended {
    std::fs::write(folder.join("run.toml"), toy::RUN).unwrap();
    let mut command = Command::new(binary::named("faulty-ddpo"));
    process::prepare(&mut command, folder);
    command.args(["train", "--config", "run.toml"]);
    command.env("FAULT_STAGE", stage).env("FAULT_CALL", call.to_string()).env("FAULT_TEXT", text);
    Running::start(command).end()
}

#[test]
fn training_with_a_failed_gpu_exits_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let ended = train_fails(folder.path(), "training", 3, STICKY);
    assert_eq!(ended.code, Some(STICKY_STATUS), "{ended}");
    assert_eq!(ended.refused(), format!("training: {STICKY_MESSAGE}"));
    let resumed = process::command(folder.path(), &["train", "--resume", "--output-dir=run"]);
    Running::start(resumed).end().succeeded();
    tree::assert_same(toy::expected(), &toy::checkpoint(folder.path()));
}

#[test]
fn training_out_of_memory_names_the_settings_of_its_stage() {
    for (stage, setting) in [("training", "micro_batch_size"), ("sampling", "sample_batch_size")] {
        let folder = tempfile::tempdir().unwrap();
        let ended = train_fails(folder.path(), stage, 2, OUT_OF_MEMORY);
        assert_eq!(ended.code, Some(OUT_OF_MEMORY_STATUS), "{ended}");
        let message = ended.refused();
        println!("printed: {message}");
        assert!(message.starts_with(&format!("{stage}: {OUT_OF_MEMORY_MESSAGE}")), "{message}");
        assert!(message.contains(setting) && message.contains("dtype = \"bf16\""), "{message}");
    }
}

/// Writes TorchScript that allocates 2^40 bytes for each level of an image. It is traced on a black image,
/// for which it allocates nothing.
fn write_greedy_script(path: &Path) {
    let black = Tensor::zeros([1, 3, 8, 8], (Kind::Uint8, Device::Cpu));
    let mut greedy = |inputs: &[Tensor]| {
        let levels =
            inputs[0].to_kind(Kind::Int64).sum_dim_intlist([1, 2, 3].as_slice(), false, None);
        let repeats = &levels * (1_i64 << 40);
        let rows = levels.repeat_interleave_self_tensor(&repeats, None, None);
        vec![levels.to_kind(Kind::Float) + rows.sum(Kind::Float)]
    };
    let module = CModule::create_by_tracing("Greedy", "forward", &[black], &mut greedy).unwrap();
    module.save(path).unwrap();
}

#[test]
fn a_reward_out_of_memory_ends_training_and_names_the_settings() {
    let workshop = Workshop::new();
    write_greedy_script(&workshop.path("greedy.pt"));
    let flags = run::short(&["--reward=torchscript:greedy.pt"]);
    let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.starts_with("--task=")).collect();
    let ended = workshop.ddpo(&flags);
    assert_eq!(ended.code, Some(OUT_OF_MEMORY_STATUS), "{ended}");
    let message = ended.refused();
    println!("printed: {message}");
    assert!(message.starts_with("scoring: out of memory on the host"), "{message}");
    assert!(message.contains("reward_dtype = \"bf16\""), "{message}");
}

#[test]
fn a_rewarder_out_of_host_memory_exits() {
    needs!("redis-server");
    let task = "task = \"jpeg compressibility\"";
    let run = toy::RUN.replace(task, "reward = \"torchscript:greedy.pt\"");
    let mut fleet = Fleet::new(FleetConfig { run, ..FleetConfig::default() });
    write_greedy_script(&fleet.folder().join("greedy.pt"));
    fleet.one_of_each();
    let parts = ["error: rewarder: out of memory on the host", "max_batch"];
    ends_with(&mut fleet, REWARDER, OUT_OF_MEMORY_STATUS, &parts);
}
