//! Python for the tests of evaluations and reports: numbers computed again, a page opened in a browser.

use crate::python;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a script of `tests/report` and gives its exit status, with what it printed.
///
/// # Panics
/// When there is no Python for it.
#[must_use]
pub fn script(name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    let mut command = Command::new(python::with("tests/report/requirements.txt"));
    command.arg(python::root().join("tests/report").join(name)).args(arguments);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("the interpreter starts");
    (output.status.code(), printed(&output))
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
