//! Programs that only tests need, such as `redis-server`.
//!
//! A test whose program is missing fails. `make test` sets [`SKIP`] where it cannot install the programs: then such
//! a test returns early and adds a line to the file [`SKIPPED`], which `make test` prints at its end.

use std::any::type_name;
use std::env;
use std::ffi::OsStr;
use std::fs::{File, create_dir_all};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The variable that allows tests to be skipped: `1`.
pub const SKIP: &str = "SKIP_MISSING_TOOLS";

/// The variable that names the file with a line for each skipped test.
pub const SKIPPED: &str = "SKIPPED_TESTS";

/// Returns from the test when one of these programs is missing and tests may be skipped.
///
/// # Panics
/// When one is missing and no test may be skipped.
#[macro_export]
macro_rules! needs {
    ($($program:literal),+) => {
        let missing = $crate::missing(&[$($program),+]);
        if !missing.is_empty() {
            $crate::skip(&$crate::test_name!(), &missing);
            return;
        }
    };
}

/// Records that the test leaves out the part that needs a program, when tests may be skipped.
///
/// # Panics
/// When no test may be skipped.
#[macro_export]
macro_rules! leaves_out {
    ($($program:literal),+) => {
        $crate::skip(&format!("{} (in part)", $crate::test_name!()), &[$($program),+])
    };
}

/// The path of the test that this is expanded in.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::enclosing(here)
    }};
}

/// Returns the path of the function that the function `here` is an item of.
pub fn enclosing<F>(_here: F) -> String {
    let path = type_name::<F>().trim_end_matches("::here");
    // The body of an async function is a closure.
    path.trim_end_matches("::{{closure}}").to_owned()
}

/// Returns those of the programs that are not in `PATH`.
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let path = env::var_os("PATH").unwrap_or_default();
    programs.iter().copied().filter(|program| !is_installed(program, &path)).collect()
}

/// Adds the test to the skipped ones.
///
/// # Panics
/// When no test may be skipped, or the file cannot be written.
pub fn skip(test: &str, programs: &[&str]) {
    let names = programs.join(", ");
    assert!(
        env::var_os(SKIP).is_some_and(|value| value == "1"),
        "{test}: expected {names} in PATH; hint: scripts/setup-system --install"
    );
    let file = skipped();
    let line = format!("{test}: {names}\n");
    append(&file, &line).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn skipped() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/skipped-tests");
    env::var_os(SKIPPED).map_or_else(default, PathBuf::from)
}

/// Writes the line at once: other tests write to the same file.
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        create_dir_all(folder)?;
    }
    File::options().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

fn is_installed(program: &str, path: &OsStr) -> bool {
    env::split_paths(path).any(|folder| {
        let found = folder.join(program).metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}
