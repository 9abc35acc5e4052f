//! The real TensorBoard and wandb read the values of a run's files from its logs, also after kills. The run
//! stops if TensorBoard's log cannot be written; errors of Weights & Biases never stop it.

use ddpo_tests::disk::with_files_of_at_most;
use ddpo_tests::{Ended, Running, Workshop, binary, process, python, run, scripts, tree};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Both logs, and the files that the scripts compare them with.
const LOGGED: [&str; 8] = [
    "--tensorboard",
    "--wandb_logging",
    "--save_model",
    "--record-batches",
    "--wandb-entity=somebody",
    "--wandb-project=faces",
    "--wandb-name=a run",
    "--wandb-tags=small,quick",
];

fn logged<'a>(more: &[&'a str]) -> Vec<&'a str> {
    run::short(&[&LOGGED[..], more].concat())
}

/// Returns `command` with a Python with wandb, offline, and without the caller's settings.
fn offline(mut command: Command) -> Command {
    command.env("DDPO_PYTHON", python::with("tests/loggers/requirements.txt"));
    command.env("WANDB_MODE", "offline").env("WANDB_ERROR_REPORTING", "false");
    command
}

fn start(workshop: &Workshop, arguments: &[&str]) -> Running {
    Running::start(offline(process::command(&workshop.path(""), arguments)))
}

/// Runs `ddpo ARGUMENTS` with the given Python.
fn with_python(workshop: &Workshop, interpreter: impl AsRef<OsStr>, arguments: &[&str]) -> Ended {
    let mut command = offline(process::command(&workshop.path(""), arguments));
    command.env("DDPO_PYTHON", interpreter);
    Running::start(command).end()
}

/// Compares the logs of a run with its files, with the real readers.
#[track_caller]
fn compare(workshop: &Workshop, folder: &str) -> String {
    let (code, printed) = scripts::run("loggers", "check.py", &[&workshop.path(folder)]);
    assert_eq!(code, Some(0), "{folder}: {printed}");
    printed
}

fn resume(workshop: &Workshop, folder: &str) -> Running {
    start(workshop, &["train", "--resume", "--output-dir", folder])
}

/// Returns the only event file of a run.
fn event_file(run: &Path) -> PathBuf {
    let mut found = fs::read_dir(run.join("tensorboard")).unwrap();
    let path = found.next().expect("an event file").unwrap().path();
    assert!(found.next().is_none());
    path
}

/// Returns the checkpoints and the samples of a run.
fn results(run: &Path) -> tree::Tree {
    let mut files = tree::read(run);
    files.retain(|name, _| name.starts_with("checkpoints/") || name.starts_with("samples/"));
    files
}

#[test]
fn logs_every_value_and_uploads_it() {
    let workshop = Workshop::new();
    let flags = logged(&["--num-epochs=3", "--ema-decay=0.9", "--kl-coef=0.1"]);
    let ended = start(&workshop, &flags).end().succeeded();
    assert!(ended.stderr.contains("wandb: offline run in "), "{ended}");
    let compared = compare(&workshop, "run");
    for kind in [
        "TensorBoard scalars",
        "TensorBoard histogram bins",
        "TensorBoard pictures",
        "TensorBoard hyperparameters",
        "wandb scalars",
        "wandb upstream names",
        "wandb histogram bins",
        "wandb pictures",
        "wandb artifact's digests",
    ] {
        assert!(compared.contains(kind), "{kind} was not compared: {compared}");
    }
    // Logging a finished run again adds nothing.
    let before = tree::read(&workshop.path("run"));
    resume(&workshop, "run").end().succeeded();
    tree::assert_same(&before, &tree::read(&workshop.path("run")));

    let (code, printed) = scripts::run("loggers", "sync.py", &[&workshop.path("run")]);
    assert_eq!(code, Some(0), "{printed}");
    let paths = [workshop.path("run"), binary::ddpo().to_owned()];
    let (code, printed) = scripts::run("loggers", "online.py", &[&paths[0], &paths[1]]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_run_without_the_flags_logs_nothing() {
    let workshop = Workshop::new();
    start(&workshop, &run::short(&["--num-epochs=1"])).end().succeeded();
    for folder in ["run/tensorboard", "run/wandb"] {
        assert!(!workshop.path(folder).exists(), "{folder}");
    }
}

/// The interpreter does not exist, lacks wandb, or is killed immediately.
#[test]
fn a_run_without_wandb_prints_one_line_and_saves_the_same_checkpoints() {
    let workshop = Workshop::new();
    let flags = |folder: &'static str| run::short(&["--num-epochs=2", "--wandb_logging", folder]);
    start(&workshop, &flags("--output-dir=whole")).end().succeeded();
    let whole = results(&workshop.path("whole"));
    fs::write(workshop.path("killed"), "#!/bin/sh\necho\nkill -9 $$\n").unwrap();
    let status = Command::new("chmod").arg("+x").arg(workshop.path("killed")).status();
    assert!(status.unwrap().success());
    let without_wandb = python::with("tests/clients/requirements.txt");
    for (python, folder, expected) in [
        ("no-such-python".into(), "--output-dir=missing", "could not start `no-such-python`"),
        (without_wandb, "--output-dir=bare", "hint: pip install wandb pillow"),
        (workshop.path("killed"), "--output-dir=dead", "wandb's process ended early: signal: 9"),
    ] {
        let ended = with_python(&workshop, &python, &flags(folder)).succeeded();
        let lines: Vec<&str> = ended.stderr.lines().collect();
        let [line] = lines[..] else { panic!("expected one line, found {ended}") };
        assert!(line.starts_with("continuing without Weights & Biases: "), "{line}");
        assert!(line.contains(expected), "{line}");
        let name = folder.trim_start_matches("--output-dir=");
        tree::assert_same(&whole, &results(&workshop.path(name)));
    }
    let refused = with_python(&workshop, "no-such-python", &["log", "wandb", "missing"]);
    assert!(refused.refused().contains("DDPO_PYTHON"), "{refused}");
}

/// The run is paused until the follower has started, so that it follows a running run.
#[test]
fn logs_a_run_that_began_without_wandb_and_follows_it_to_its_end() {
    let workshop = Workshop::new();
    let mut command = process::command(&workshop.path(""), &logged(&["--num-epochs=20"]));
    command.env("DDPO_PYTHON", "no-such-python");
    let mut running = Running::start(command);
    assert!(running.reaches(|| workshop.path("run/samples/epoch-000001.png").exists()));
    running.signal("STOP");
    let mut follower = start(&workshop, &["log", "wandb", "run"]);
    assert!(follower.complains("wandb: offline run in "), "the follower does not start to log");
    running.signal("CONT");
    running.end().succeeded();
    follower.end().succeeded();
    compare(&workshop, "run");
    let again = start(&workshop, &["log", "wandb", "run"]).end().succeeded();
    assert!(again.stderr.contains("everything is logged already"), "{again}");
}

/// The log is ahead of the last checkpoint by up to two epochs, or has only started.
#[test]
fn logs_each_step_once_after_five_kills() {
    let workshop = Workshop::new();
    let mut running = start(&workshop, &logged(&["--num-epochs=6", "--checkpoint-every=2"]));
    let root = workshop.path("run");
    for (kill, name) in [
        "eval/epoch-000000.csv",
        "samples/epoch-000001.png",
        "tensorboard",
        "samples/epoch-000004.png",
        "eval/epoch-000005.csv",
    ]
    .iter()
    .enumerate()
    {
        assert!(running.reaches(|| root.join(name).exists()), "{name} never appears");
        // The epoch is logged a few milliseconds later.
        running.runs_for(Duration::from_millis(7 * kill as u64), || false);
        assert_eq!(running.kill().code, None, "ended before it was killed");
        running = resume(&workshop, "run");
        assert!(running.says("finetuning"), "the run does not resume");
    }
    let ended = running.end().succeeded();
    assert!(!ended.stderr.contains("continuing without"), "{ended}");
    compare(&workshop, "run");
}

/// Changes the bytes of a log.
type Spoiler<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Copies the finished run into the state after a kill that follows the checkpoint of `epoch`. Its logs have
/// later steps too, or half of one.
fn rewind(workshop: &Workshop, folder: &str, epoch: u32, spoil: Spoiler<'_>) {
    tree::copy(&workshop.path("whole"), &workshop.path(folder));
    let checkpoints = workshop.path(folder).join("checkpoints");
    (epoch + 1..=3).for_each(|later| {
        fs::remove_dir_all(checkpoints.join(format!("epoch-{later:06}"))).unwrap();
    });
    fs::remove_dir_all(checkpoints.join("best")).unwrap();
    let rewards = run::json_lines(&workshop.path("whole/eval/rewards.jsonl"));
    let mean = |after: &u32| rewards[*after as usize]["reward_mean"].as_f64().unwrap();
    let best = (1..=epoch).rev().max_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap();
    tree::copy(&checkpoints.join(format!("epoch-{best:06}")), &checkpoints.join("best"));
    let path = event_file(&workshop.path(folder));
    let mut bytes = fs::read(&path).unwrap();
    spoil(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn resumes_a_log_that_was_killed_in_the_middle_of_a_write() {
    let workshop = Workshop::new();
    start(&workshop, &logged(&["--num-epochs=3", "--output-dir=whole"])).end().succeeded();
    let spoilers: [(&str, u32, Spoiler); 4] = [
        ("cut", 2, &|bytes| bytes.truncate(bytes.len() - 5)),
        ("zeros", 2, &|bytes| {
            let half = bytes.len() - bytes.len() / 8;
            bytes[half..].fill(0);
        }),
        ("ahead", 1, &|_| {}),
        // After a power cut, blocks that were not yet written may have any content.
        ("garbage", 1, &|bytes| {
            let end = bytes.len() - 2000;
            bytes.truncate(end);
            bytes.extend([0x5a; 3000]);
        }),
    ];
    for (folder, epoch, spoil) in spoilers {
        rewind(&workshop, folder, epoch, spoil);
        resume(&workshop, folder).end().succeeded();
        compare(&workshop, folder);
    }
}

/// The run stops if it cannot write TensorBoard's log, but not for wandb's. Finally both logs are complete.
#[test]
fn resumes_a_run_whose_logs_did_not_fit_on_the_disk() {
    let workshop = Workshop::new();
    // Checkpoints are larger than the logs of a short run, so the only checkpoint is written at the end.
    let long = ["--num-epochs=6", "--checkpoint-every=6", "--eval-every-each-epoch=6"];
    let limited = |bytes: u64, flags: &[&str]| {
        Running::start(offline(with_files_of_at_most(bytes, &workshop.path(""), flags))).end()
    };
    let flags = logged(&long);
    let in_whole = [&long[..], &["--output-dir=whole"]].concat();
    start(&workshop, &logged(&in_whole)).end().succeeded();
    let bytes = event_file(&workshop.path("whole")).metadata().unwrap().len();
    let stopped = limited(bytes / 2, &flags);
    let message = stopped.stderr.lines().find(|line| line.starts_with("error: "));
    let message = message.unwrap_or_else(|| panic!("expected an error, found {stopped}"));
    assert!(message.contains(".ddpo") && message.contains("File too large"), "{message}");
    resume(&workshop, "run").end().succeeded();
    compare(&workshop, "run");
}
