//! Python scripts for tests of evaluations and reports: they recompute numbers and open pages in a browser.

use crate::scripts;
use std::path::Path;

/// Runs a script of `tests/report`. Returns its exit status and its output.
///
/// # Panics
/// If the Python environment cannot be made.
pub fn script(name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    scripts::run("report", name, arguments)
}
