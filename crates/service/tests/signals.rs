//! Signals, in a process of their own: the first asks to finish, the second ends at once.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic")]

use ddpo_service::shutdown::{STATUS, Shutdown};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// Tells this test program that it is the child.
const CHILD: &str = "SERVICE_SIGNALS_CHILD";

/// The child's program; nothing where this is the parent.
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
        // It has ended already where the test has passed.
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
    /// The child ends by itself after its own deadlines, which ends this wait too.
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
fn the_first_signal_asks_to_finish() {
    for signal in ["TERM", "INT"] {
        let mut running = start("200");
        running.signal(signal);
        running.wait_for("finishing");
        running.wait_for("drained");
        assert_eq!(running.child.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn the_second_signal_exits_at_once() {
    let mut running = start("60000");
    running.signal("TERM");
    running.wait_for("finishing");
    running.signal("INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(STATUS));
}
