//! Python for the tests of evaluations and reports: numbers computed again, a page opened in a browser.

use crate::scripts;
use std::path::Path;

/// Runs a script of `tests/report` and gives its exit status, with what it printed.
///
/// # Panics
/// When there is no Python for it.
pub fn script(name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
    scripts::run("report", name, arguments)
}
