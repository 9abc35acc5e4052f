//! A test without its program fails, or is skipped and recorded where that is allowed.

#![allow(clippy::unwrap_used)]

use ddpo_test_tools::{SKIP, SKIPPED, needs, test_name};
use std::path::Path;
use std::process::{Command, Output};

/// Tells the tests below that they run in a process of their own.
const CHILD: &str = "DDPO_TEST_TOOLS_CHILD";

/// The test of another process: it needs a program that no machine has.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    needs!("sh", "ddpo-no-such-program");
    panic!("the test has run without its program");
}

/// Runs `child` in a separate process, with `skip` as the value of the variable that allows skipping.
fn run(skip: Option<&str>, file: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env(CHILD, "1").env(SKIPPED, file).env_remove(SKIP);
    if let Some(value) = skip {
        command.env(SKIP, value);
    }
    command.output().unwrap()
}

#[test]
fn fails_without_its_program_unless_skipping_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skipped-tests");
    for skip in [None, Some("0"), Some("")] {
        let output = run(skip, &file);
        assert!(!output.status.success(), "{skip:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("child: expected ddpo-no-such-program in PATH"), "{said}");
        assert!(said.contains("hint: scripts/setup-system --install"), "{said}");
    }
    assert!(!file.exists(), "no test was skipped");
}

#[test]
fn is_recorded_by_its_name_when_it_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("target/skipped-tests");
    for _ in 0..2 {
        let output = run(Some("1"), &file);
        assert!(output.status.success(), "{output:?}");
    }
    let line = "skipping::child: ddpo-no-such-program\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line.repeat(2));
}

#[test]
fn runs_when_its_programs_are_installed() {
    let mut ran = false;
    let mut test = || {
        needs!("sh", "cat");
        ran = true;
    };
    test();
    assert!(ran);
}

#[test]
fn functions_are_named_by_their_path() {
    async fn asynchronous() -> String {
        test_name!()
    }
    let mut future = std::pin::pin!(asynchronous());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(name) = future.as_mut().poll(&mut context) else {
        panic!("it waits for nothing");
    };
    assert_eq!(name, "skipping::functions_are_named_by_their_path::asynchronous");
    assert_eq!(test_name!(), "skipping::functions_are_named_by_their_path");
}
