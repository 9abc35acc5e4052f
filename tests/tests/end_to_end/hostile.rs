//! Hostile configs, archives, pickles, images and settings (`tests/hostile`) are refused in one line, within
//! ten seconds and 1 GiB. Services survive hostile frames, and a hostile Redis.

use ddpo_test_tools::needs;
use ddpo_tests::{binary, python};
use std::path::Path;
use std::process::Command;

/// Runs cases, of which there are at least `count`, with the program at `ddpo` and those beside it.
#[track_caller]
#[expect(clippy::print_stdout, reason = "prints measurements")]
fn endured(ddpo: &Path, kind: &str, count: usize) {
    let script = python::root().join("tests/hostile/run.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(ddpo).arg(kind).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = command.output();
    let ended = ended.expect("python3 is installed");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complained}");
    let last = said.lines().last().unwrap_or_default();
    let found: usize = last.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    assert!(found >= count, "expected {count} inputs or more, found {last}");
    println!("measured: {last}");
}

#[test]
fn every_hostile_input_is_refused_in_one_line() {
    endured(binary::ddpo(), "--commands", 100);
}

#[test]
fn services_survive_hostile_frames_and_a_hostile_redis() {
    needs!("redis-server");
    for name in ["ddpo-learner", "ddpo-rewarder", "ddpo-sampler"] {
        binary::named(name);
    }
    endured(binary::ddpo(), "--services", 40);
}
