//! The learner's settings contain the run's reward, and an invalid reward is rejected with the name
//! of its flag.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::process::Command;

/// Runs `ddpo-learner` and returns whether it succeeds, its standard output and standard error.
fn learner(arguments: &[&str]) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo-learner"));
    let output = command.current_dir(folder.path()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn resolved_settings_contain_the_reward() {
    let (success, resolved, said) =
        learner(&["--reward", "over50 - 0.1*aesthetic", "--age-reward", "log-odds", "--dry-run"]);
    assert!(success, "{said}");
    let reward = "reward = \"over50 - 0.1*aesthetic\"";
    for line in [reward, "age_reward = \"log-odds\"", "[learner]"] {
        assert!(resolved.contains(line), "{line}: {resolved}");
    }
}

#[test]
fn rejects_an_unknown_reward_or_form_by_flag_name() {
    for (flag, value, part) in [
        ("--task", "beauty", "expected one of"),
        ("--reward", "0.5*beauty", "expected one of"),
        ("--age-reward", "years", "age_reward"),
    ] {
        let (success, _, said) = learner(&[flag, value, "--listen=127.0.0.1:0"]);
        assert!(!success && said.contains(flag) && said.contains(part), "{flag}: {said}");
    }
}
