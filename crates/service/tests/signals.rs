//! Signals, tested in a child process: the first requests shutdown, the second exits immediately.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic")]

use ddpo_service::shutdown::{STATUS, Shutdown};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// Marks this test program as the child.
const CHILD: &str = "SERVICE_SIGNALS_CHILD";

/// The child's program; does nothing in the parent.
#[test]
fn child() {
    let Ok(grace) = std::env::var(CHILD) else { return };
    let grace = Duration::from_millis(grace.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().unwrap();
        println!("\nready");
        timeout(Duration::from_secs(60), shutdown.wait()).await.unwrap();
        println!("\nfinishing");
        timeout(grace, std::future::pending::<()>()).await.unwrap_err();
        println!("\ndrained");
    });
    std::process::exit(3);
}

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // If the test passed, the child has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(grace_ms: &str) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, grace_ms)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut running = Running { child, lines };
    running.wait_for("ready");
    running
}

impl Running {
    /// The child ends after its deadlines, which also ends this wait.
    fn wait_for(&mut self, expected: &str) {
        let found = self.lines.any(|line| line.unwrap() == expected);
        assert!(found, "the child ended without {expected:?}");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: a small system has no program of that name.
        let script = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }
}

#[test]
fn first_signal_requests_shutdown() {
    for signal in ["TERM", "INT"] {
        let mut running = start("200");
        running.signal(signal);
        running.wait_for("finishing");
        running.wait_for("drained");
        assert_eq!(running.child.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn second_signal_exits_immediately() {
    let mut running = start("60000");
    running.signal("TERM");
    running.wait_for("finishing");
    running.signal("INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(STATUS));
}
