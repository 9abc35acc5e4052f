//! Finds the binary under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

const HINT: &str = "run `make build`, or `cargo build --release`";

/// Returns `ddpo` in the target folder of this test.
///
/// # Panics
/// As [`named`].
pub fn ddpo() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| named("ddpo"))
}

/// Returns the binary of this name in the target folder of this test.
///
/// # Panics
/// If the binary is missing or older than one of its sources.
pub fn named(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test can read its own path");
    let profile = test.ancestors().nth(2).expect("tests are in PROFILE/deps/");
    let path = profile.join(name);
    let built = modified(&path).unwrap_or_else(|| panic!("{name}: not built; hint: {HINT}"));
    if let Some(source) = newer_source(&profile.join(format!("{name}.d")), built) {
        panic!("{name} is older than {}; hint: {HINT}", source.display());
    }
    path
}

/// Returns the first source in cargo's list that is newer than `built`.
fn newer_source(list: &Path, built: SystemTime) -> Option<PathBuf> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let (_, sources) = text.split_once(": ")?;
    let sources = sources.split_whitespace().map(PathBuf::from);
    let mut newer = sources.filter(|path| modified(path).is_some_and(|time| time > built));
    newer.next()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|about| about.modified()).ok()
}
