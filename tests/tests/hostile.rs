//! Hostile configs, archives, pickles, images and settings (`tests/hostile`) are refused in one line, within
//! ten seconds and 1 GiB.

use ddpo_tests::{binary, python};
use std::process::Command;

#[test]
fn every_hostile_input_is_refused_in_one_line() {
    let script = python::root().join("tests/hostile/run.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(binary::ddpo()).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = command.output();
    let ended = ended.expect("python3 is installed");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complained}");
    let last = said.lines().last().unwrap_or_default();
    let count: usize = last.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    assert!(count >= 100, "expected a hundred inputs or more, found {last}");
    println!("measured: {last}");
}
