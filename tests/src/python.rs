//! Python interpreters with the packages that tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the repository.
///
/// # Panics
/// Never: this package is in a folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// Returns the interpreter of the environment that `scripts/setup-clients REQUIREMENTS` makes.
///
/// # Panics
/// If the script fails.
pub fn with(requirements: &str) -> PathBuf {
    let mut setup = Command::new(root().join("scripts/setup-clients"));
    let output = setup.arg(root().join(requirements)).output();
    let output = output.expect("scripts/setup-clients can be run");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/setup-clients: {failed}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
