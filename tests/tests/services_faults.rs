//! A device that fails: the service says what failed and what to change, hands back what it had, is not
//! ready, and ends with a status; the run ends with the same bytes as an undisturbed one.

#![allow(clippy::unwrap_used)]

use ddpo_test_tools::needs;
use ddpo_tests::process::{self, Ended, Running};
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig, PATIENCE, toy};
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

/// libtorch's text after a kernel has read an address that is not its own.
const STICKY: &str = "CUDA error: an illegal memory access was encountered\nSearch for \
    `cudaErrorIllegalAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api for more information.\n\
    CUDA kernel errors might be asynchronously reported at some other API call.";

/// What the message says of it, after the service's name.
const STICKY_MESSAGE: &str = "fault of the GPU: an illegal memory access was encountered; hint: start \
    the process again; if the fault comes back, look for Xid errors of the GPU in the kernel's log";

/// Exit status after it.
const STICKY_STATUS: i32 = 70;

/// libtorch's text when a GPU is full.
const OUT_OF_MEMORY: &str = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity \
    of 23.68 GiB of which 212.81 MiB is free. Including non-PyTorch memory, this process has 23.46 GiB \
    memory in use. Of the allocated memory 22.90 GiB is allocated by PyTorch.";

/// What the message says of it, after the service's name and before its hint.
const OUT_OF_MEMORY_MESSAGE: &str = "out of memory on GPU 0: tried to allocate 2.50 GiB, found 212.81 MiB \
    free of 23.68 GiB; hint: ";

/// Exit status after it.
const OUT_OF_MEMORY_STATUS: i32 = 71;

/// The rewarder, and the condition that its device's thread sets.
const REWARDER: (&str, &str) = ("rewarder", "model");

/// The learner, likewise.
const LEARNER: (&str, &str) = ("learner", "run");

/// Collects what a service's health says until its end.
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

/// Waits for the end of a service that fails: it was ready, and its `condition` is no longer met; one line
/// says why, with all of `parts`; the status tells which fault it was.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test's figures")]
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
    // The process may end before the last answer is sent.
    assert!(rest.iter().all(|&status| status == ServingStatus::NotServing), "{statuses:?}");
    let unmet = lines(&log, "condition not met").pop().unwrap();
    assert_eq!(unmet["condition"], condition, "{unmet}");
    assert!(errors[0].contains(unmet["reason"].as_str().unwrap()), "{unmet}");
}

/// A sampler fails in the middle of its second order.
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
    // The order that was handed back, and no other, was taken a second time.
    assert_eq!(other.counter("orders_claimed"), Some(1));
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_sampler_with_a_broken_gpu_hands_its_order_back_once_and_ends() {
    needs!("redis-server");
    let message = format!("error: sampler: {STICKY_MESSAGE}");
    sampler_fails(STICKY, STICKY_STATUS, &[&message]);
}

#[test]
fn a_sampler_out_of_memory_hands_its_order_back_once_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: sampler: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "sample_batch_size", "dtype = \"bf16\""];
    sampler_fails(OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS, &parts);
}

/// A service fails at its third batch or optimizer step. Whoever runs it starts it again, on a device that works.
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
fn a_rewarder_with_a_broken_gpu_ends() {
    needs!("redis-server");
    let message = format!("error: rewarder: {STICKY_MESSAGE}");
    fails_and_is_started_again(REWARDER, (STICKY, STICKY_STATUS), &[&message]);
}

#[test]
fn a_rewarder_out_of_memory_ends_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: rewarder: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "max_batch", "reward_dtype = \"bf16\""];
    let fault = (OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS);
    fails_and_is_started_again(REWARDER, fault, &parts);
}

#[test]
fn a_learner_with_a_broken_gpu_ends_and_resumes() {
    needs!("redis-server");
    let message = format!("error: learner: {STICKY_MESSAGE}");
    fails_and_is_started_again(LEARNER, (STICKY, STICKY_STATUS), &[&message]);
}

#[test]
fn a_learner_out_of_memory_ends_and_names_the_settings() {
    needs!("redis-server");
    let message = format!("error: learner: {OUT_OF_MEMORY_MESSAGE}");
    let parts = [&message, "micro_batch_size", "dtype = \"bf16\""];
    let fault = (OUT_OF_MEMORY, OUT_OF_MEMORY_STATUS);
    fails_and_is_started_again(LEARNER, fault, &parts);
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
fn training_with_a_broken_gpu_ends_and_resumes() {
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

/// Writes TorchScript that allocates as many bytes as an image has levels, times 2^40. It is traced on a
/// black image.
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
fn a_reward_that_libtorch_has_no_memory_for_ends_training_with_the_settings() {
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
fn a_rewarder_that_libtorch_has_no_memory_for_ends() {
    needs!("redis-server");
    let task = "task = \"jpeg compressibility\"";
    let run = toy::RUN.replace(task, "reward = \"torchscript:greedy.pt\"");
    let mut fleet = Fleet::new(FleetConfig { run, ..FleetConfig::default() });
    write_greedy_script(&fleet.folder().join("greedy.pt"));
    fleet.one_of_each();
    let parts = ["error: rewarder: out of memory on the host", "max_batch"];
    ends_with(&mut fleet, REWARDER, OUT_OF_MEMORY_STATUS, &parts);
}
