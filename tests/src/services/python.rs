//! The official Python client, for tests that call the services like a user's program.

use crate::services::wait::PATIENCE;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a script of `tests/clients` with these arguments and returns the lines that it prints.
///
/// # Panics
/// If it fails, or the Python environment cannot be made.
pub fn client(script: &str, arguments: &[&str], input: &str) -> Vec<String> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(python());
    command.arg(clients.join(script)).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("timeout is part of coreutils");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // A script that fails early does not read its input; its standard error shows why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("a child can be waited for");
    let [said, failed] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{script}: {}\n{said}{failed}", output.status);
    said.lines().map(str::to_owned).collect()
}

/// Returns the interpreter of the environment with `tests/clients/requirements.txt`.
///
/// # Panics
/// If the environment cannot be made.
pub fn python() -> PathBuf {
    crate::python::with("tests/clients/requirements.txt")
}
