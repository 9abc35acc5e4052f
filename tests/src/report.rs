//! Python for the tests of evaluations and reports: numbers computed again, a page opened in a browser.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a script of `tests/report` and gives its exit status, with what it printed.
///
/// # Panics
/// When there is no Python for it.
#[must_use]
pub fn script(name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    let mut command = Command::new(python());
    command.arg(root().join("tests/report").join(name)).args(arguments);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("the interpreter starts");
    (output.status.code(), printed(&output))
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// The interpreter that `scripts/setup-clients tests/report/requirements.txt` has made.
fn python() -> PathBuf {
    let requirements = root().join("tests/report/requirements.txt");
    let output = Command::new(root().join("scripts/setup-clients")).arg(requirements).output();
    let output = output.expect("scripts/setup-clients can be run");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/setup-clients: {failed}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
