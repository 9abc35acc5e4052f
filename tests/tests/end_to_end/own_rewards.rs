//! User-supplied rewards: the Python server of `examples/`, which may restart during a run, and TorchScript
//! files.

use ddpo_test_tools::needs;
use ddpo_tests::reward_server::RewardServer;
use ddpo_tests::services::toy::{self, EPOCHS};
use ddpo_tests::services::{Fleet, FleetConfig, until};
use ddpo_tests::{Running, Workshop, process, run, tree};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use tch::{CModule, Device, Kind, Tensor};

/// The flags of a run with a reward server, with more epochs than [`run::SHORT`].
fn flags(server: &RewardServer, output: &str) -> Vec<String> {
    let reward = format!("--reward={}", server.reward());
    let output = format!("--output-dir={output}");
    let more = [reward.as_str(), &output, "--num-epochs=30", "--eval-every-each-epoch=10"];
    let flags = run::short(&more).into_iter().filter(|flag| !flag.starts_with("--task="));
    flags.map(str::to_owned).collect()
}

fn start(workshop: &Workshop, flags: &[String]) -> Running {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    workshop.start(&flags)
}

fn has_epochs(run: &Path, epochs: usize) -> bool {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    text.lines().count() >= epochs
}

/// Starts a run whose server is killed after three epochs. Returns the run, which waits for the server, and
/// the server's address.
fn bereaved(workshop: &Workshop, output: &str) -> (Running, std::net::SocketAddr) {
    let server = RewardServer::start();
    let mut running = start(workshop, &flags(&server, output));
    let folder = workshop.path(output);
    assert!(running.reaches(|| has_epochs(&folder, 3)), "the run ended before its third epoch");
    let address = server.address;
    drop(server);
    assert!(running.complains("waiting for it"), "the run ended without waiting for its server");
    (running, address)
}

#[test]
fn a_run_continues_to_the_same_bytes_when_its_reward_server_restarts() {
    let workshop = Workshop::new();
    let (running, address) = bereaved(&workshop, "bereaved");
    let server = RewardServer::start_at(address);
    let ended = running.end().succeeded();
    let told = ended.stderr.lines().filter(|line| line.starts_with("reward server"));
    let told: Vec<&str> = told.collect();
    assert!(told.len() == 2 && told[0].ends_with("waiting for it, at most 600 s"), "{told:?}");
    assert!(told[1].ends_with("answers again"), "{told:?}");
    start(&workshop, &flags(&server, "run")).end().succeeded();
    run::assert_same(&workshop.path("run"), &workshop.path("bereaved"));
    // Rewards and components are those of the server.
    let table = std::fs::read_to_string(workshop.path("run/eval/epoch-000010.csv")).unwrap();
    let mut lines = table.lines();
    let heading = lines.next().unwrap();
    assert!(heading.ends_with("reward,red,others"), "{heading}");
    let last = |line: &str| -> Vec<f64> {
        line.rsplit(',').take(3).map(|number| number.parse().unwrap()).collect()
    };
    let rows: Vec<Vec<f64>> = lines.map(last).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let [others, red, reward] = row[..] else { panic!("{row:?}") };
        assert!((red - others - reward).abs() < 1e-3 && red > 0.0, "{row:?}");
    }
}

#[test]
fn ctrl_c_ends_the_wait_for_a_server_and_the_run_can_be_resumed() {
    let workshop = Workshop::new();
    let (running, address) = bereaved(&workshop, "run");
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended}");
    let server = RewardServer::start_at(address);
    workshop.ddpo(&["train", "--resume", "--output-dir=run"]).succeeded();
    start(&workshop, &flags(&server, "expected")).end().succeeded();
    for weights in ["unet/diffusion_pytorch_model.safetensors", "optimizer.safetensors"] {
        let last = |run: &str| workshop.path(run).join("checkpoints/epoch-000030").join(weights);
        let [expected, found] = ["expected", "run"].map(|run| std::fs::read(last(run)).unwrap());
        assert!(expected == found, "{weights}");
    }
}

/// Returns the toy run with this server.
fn toy_run(server: &RewardServer) -> String {
    let task = "task = \"jpeg compressibility\"";
    assert!(toy::RUN.contains(task));
    toy::RUN.replace(task, &format!("reward = \"{}\"", server.reward()))
}

#[test]
fn services_end_with_the_same_bytes_when_the_reward_server_restarts() {
    needs!("redis-server");
    let server = RewardServer::start();
    let address = server.address;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), toy_run(&server)).unwrap();
    let mut command = process::command(folder.path(), &["train", "--config", "run.toml"]);
    let ended = command.stdout(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let mut fleet = Fleet::new(FleetConfig {
        run: toy_run(&server),
        rewarder: "reward_threads = 1".into(),
        ..FleetConfig::default()
    });
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    drop(server);
    until("the rewarder to miss its server", || {
        fleet.service("rewarder").text().contains("waiting for it, at most").then_some(())
    });
    let last = fleet.folder().join(format!("run/checkpoints/epoch-{EPOCHS:06}"));
    assert!(!last.exists(), "killed too late");
    let _server = RewardServer::start_at(address);
    fleet.finishes("learner");
    tree::assert_same(&toy::checkpoint(folder.path()), &toy::checkpoint(fleet.folder()));
    assert_eq!(fleet.inspector("rewarder").counter("trajectories_refused"), Some(0));
}

/// Writes a TorchScript module that returns the mean level of an image, times `factor`.
fn write_script(path: &Path, factor: f64) {
    let pixels = Tensor::ones([1, 3, 8, 8], (Kind::Uint8, Device::Cpu));
    let mut mean = |inputs: &[Tensor]| {
        let levels = inputs[0].to_kind(Kind::Float);
        vec![levels.mean_dim([1, 2, 3].as_slice(), false, Kind::Float) * factor]
    };
    let module = CModule::create_by_tracing("Mean", "forward", &[pixels], &mut mean).unwrap();
    module.save(path).unwrap();
}

#[test]
fn a_run_with_a_torchscript_reward_is_reproducible_to_the_byte() {
    let workshop = Workshop::new();
    write_script(&workshop.path("reward.pt"), 1.0);
    for run in ["run", "again"] {
        let output = format!("--output-dir={run}");
        let more = ["--reward=torchscript:reward.pt", "--num-epochs=4", "--threads=2", &output];
        let flags: Vec<&str> =
            run::short(&more).into_iter().filter(|flag| !flag.starts_with("--task=")).collect();
        workshop.ddpo(&flags).succeeded();
    }
    run::assert_same(&workshop.path("run"), &workshop.path("again"));
    for line in run::metrics(&workshop.path("run")) {
        // The mean level of images that are neither black nor white.
        let mean = line["reward_mean"].as_f64().unwrap();
        assert!((1.0..254.0).contains(&mean), "{mean}");
    }
}

/// `run.toml` records the digest of the file, so an evaluation cannot score with another reward by mistake.
#[test]
fn evaluations_use_the_files_that_the_run_used() {
    let workshop = Workshop::new();
    write_script(&workshop.path("reward.pt"), 1.0);
    let flags = run::short(&["--reward=torchscript:reward.pt"]);
    let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.starts_with("--task=")).collect();
    workshop.ddpo(&flags).succeeded();
    // From another folder, where the relative path leads nowhere.
    let mut command = process::command(&workshop.path("run"), &["evaluate", ".", "--out=out"]);
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    write_script(&workshop.path("reward.pt"), 2.0);
    for command in [vec!["evaluate", "run", "--out=out"], vec!["report", "run"]] {
        let ended = workshop.ddpo(&command);
        let message = ended.refused();
        assert!(message.contains("reward.pt`: expected "), "{message}");
    }
    let other = ["evaluate", "run", "--out=out", "--reward=torchscript:reward.pt"];
    workshop.ddpo(&other).succeeded();
}

/// Checks that a run with this reward fails with a line that contains `part`, and writes nothing.
#[track_caller]
fn refuses(workshop: &Workshop, reward: &str, part: &str) {
    let reward = format!("--reward={reward}");
    let flags = run::short(&[&reward]);
    let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.starts_with("--task=")).collect();
    let refused = workshop.ddpo(&flags);
    // An earlier line may report a closed connection that was retried.
    let last = refused.stderr.lines().last().unwrap_or_default();
    assert!(refused.code == Some(1) && last.starts_with("error: "), "{refused}");
    assert!(last.contains(part), "no `{part}` in: {refused}");
    assert!(!workshop.path("run").exists());
}

#[test]
fn rejects_unusable_rewards_before_writing_anything() {
    let workshop = Workshop::new();
    refuses(&workshop, "torchscript:missing.pt", "missing.pt: no such file");
    workshop.write("text.pt", "import torch");
    refuses(&workshop, "torchscript:text.pt", "text.pt: expected a file of torch.jit.save");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut heard = [0; 16];
            // The client may disconnect without reading the answer.
            let _ =
                stream.read(&mut heard).and_then(|_| stream.write_all(b"HTTP/1.1 400 No\r\n\r\n"));
            // Closing with unread bytes would reset the connection.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let reward = format!("grpc://{address}");
    refuses(&workshop, &reward, &format!("reward server {reward}: expected a gRPC server"));
}
