//! Interpreters with the packages that a test needs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the project.
///
/// # Panics
/// Never: this package lies in a folder of it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// The interpreter that `scripts/setup-clients REQUIREMENTS` makes, or has made.
///
/// # Panics
/// When it cannot make one.
pub fn with(requirements: &str) -> PathBuf {
    let mut setup = Command::new(root().join("scripts/setup-clients"));
    let output = setup.arg(root().join(requirements)).output();
    let output = output.expect("scripts/setup-clients can be run");
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/setup-clients: {failed}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
