//! Tests of `--help`. A package with such a test has its binary built by `cargo test`, so the
//! end-to-end tests in `tests/` find it up to date in the target folder.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ddpo")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_lists_every_command() {
    let help = said(&["--help"]);
    let commands = ["train", "sample", "score", "evaluate", "report", "replay", "pretrain"];
    for command in
        commands.into_iter().chain(["pretrain-ages", "inspect", "health", "convert", "push"])
    {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
    }
}

#[test]
fn help_of_train_lists_upstream_flags() {
    let help = said(&["train", "--help"]);
    for flag in ["--num-samples-per-epoch", "--initial-lr", "--eval-rnd-seed", "--ddpm-ckpt"] {
        assert!(help.contains(flag), "{flag}");
    }
}
