//! Finding the binary under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

const HINT: &str = "run `make build`, or `cargo build --release`";

/// `ddpo` in the target folder that this test was built into.
///
/// # Panics
/// As [`named`].
pub fn ddpo() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| named("ddpo"))
}

/// The binary of this name in the target folder that this test was built into.
///
/// # Panics
/// When it is not there, or when a source that it was built from has changed since: a test of an
/// old binary tells nothing.
pub fn named(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let profile = test.ancestors().nth(2).expect("tests lie in PROFILE/deps/");
    let path = profile.join(name);
    let built = modified(&path).unwrap_or_else(|| panic!("no {name} beside the tests: {HINT}"));
    if let Some(source) = newer_source(&profile.join(format!("{name}.d")), built) {
        panic!("{name} is older than {}: {HINT}", source.display());
    }
    path
}

/// The first source named in cargo's list that is newer than `built`.
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
