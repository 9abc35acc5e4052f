//! Runs Python scripts of tests. Each is in a folder of `tests/` with the pinned packages that it needs.

use crate::python;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `tests/FOLDER/NAME` with the packages of that folder's `requirements.txt`. Returns its exit status
/// and its output.
///
/// # Panics
/// If the Python environment cannot be made.
pub fn run(folder: &str, name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    let mut command = Command::new(python::with(&format!("tests/{folder}/requirements.txt")));
    command
        .arg(python::root().join("tests").join(folder).join(name))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("the interpreter starts");
    (output.status.code(), printed(&output))
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
