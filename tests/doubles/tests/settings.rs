//! The doubles accept the settings of the services. Because of this test, `cargo test` builds the binaries
//! of this package, which the end-to-end tests run.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// A settings file that all services share.
const SETTINGS: &str = "task = \"jpeg compressibility\"\n[learner]\nlease_seconds = 7.0\n\
    [rewarder]\nmax_wait_ms = 7\n[sampler]\nclaim_after_seconds = 7.0\n";

fn dry_run(binary: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), SETTINGS).unwrap();
    let mut command = Command::new(binary);
    command.current_dir(folder.path()).args(["--config", "run.toml", "--dry-run"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn doubles_read_the_settings_file_of_the_services() {
    for (binary, line) in [
        (env!("CARGO_BIN_EXE_double-learner"), "lease_seconds = 7.0"),
        (env!("CARGO_BIN_EXE_double-rewarder"), "max_wait_ms = 7"),
        (env!("CARGO_BIN_EXE_double-sampler"), "claim_after_seconds = 7.0"),
    ] {
        let settings = dry_run(binary);
        assert!(settings.lines().any(|found| found == line), "{binary}: {settings}");
    }
}
