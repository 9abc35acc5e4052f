//! A closed or full standard output or error never harms a run, and never makes a command panic.

use ddpo_tests::{Workshop, binary, process, run};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeWriter};
use std::process::{Command, Output, Stdio};

/// Returns the end of a pipe that nobody reads: every write fails.
fn closed() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

fn command(workshop: &Workshop, arguments: &[&str]) -> Command {
    process::command(&workshop.path(""), arguments)
}

/// Runs a command whose standard output is closed, and returns what it printed on standard error.
#[track_caller]
fn succeeds_without_output(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.stdout(closed()).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{stderr}");
    stderr
}

#[test]
fn a_run_with_closed_outputs_writes_the_same_files() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--output-dir=whole"])).succeeded();
    let mut train = command(&workshop, &run::short(&["--output-dir=run"]));
    let status = train.stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    run::assert_same(&workshop.path("whole"), &workshop.path("run"));
    for line in run::metrics(&workshop.path("run")) {
        let checkpoint = format!("run/checkpoints/epoch-{:06}", line["epoch"].as_u64().unwrap());
        assert!(workshop.path(&checkpoint).exists(), "{checkpoint}");
    }
}

#[test]
fn a_run_goes_on_after_its_reader_has_read_one_line() {
    let workshop = Workshop::new();
    let mut train = command(&workshop, &run::short(&[])).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(train.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.ends_with('\n'), "{first}");
    let ended = train.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(run::metrics(&workshop.path("run")).len(), 2);
}

#[test]
fn printing_commands_end_quietly_when_their_output_is_closed() {
    let workshop = Workshop::new();
    let sample = ["sample", "--ddpm-ckpt=model", "--out=out", "--num-samples=2"];
    workshop.ddpo(&[&sample[..], &["--num-inference-steps=2"]].concat()).succeeded();
    let score = ["score", "--task=jpeg compressibility", "out"];
    let dry_run = ["train", "--dry-run", "--output-dir=run"];
    for arguments in [&score[..], &dry_run, &["doctor"], &["--help"], &["train", "--help"]] {
        let said = succeeds_without_output(command(&workshop, arguments));
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn services_print_their_settings_to_a_closed_output() {
    let workshop = Workshop::new();
    for name in ["ddpo-sampler", "ddpo-rewarder", "ddpo-learner"] {
        let mut service = Command::new(binary::named(name));
        process::prepare(&mut service, &workshop.path(""));
        service.arg("--dry-run");
        assert_eq!(succeeds_without_output(service), "", "{name}");
    }
}

#[test]
fn an_error_keeps_its_status_when_standard_error_is_closed() {
    let workshop = Workshop::new();
    let mut train = command(&workshop, &run::short(&["--batch-size=3"]));
    let status = train.stdout(Stdio::null()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let workshop = Workshop::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut train = command(&workshop, &["train", "--dry-run", "--output-dir=run"]);
    let Output { status, stderr, .. } = train.stdout(full).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: could not write standard output: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
