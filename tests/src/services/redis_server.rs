//! A real `redis-server` on a free port, without persistence, killed when it is dropped.

use crate::services::wait::PATIENCE;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What it writes to its log when it listens.
const READY: &str = "Ready to accept connections";

/// The server. Its log is in the folder it was given.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path) -> Self {
        // Another process may take the port between the look and the start; then another is tried.
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self { folder: folder.into(), port, process: None };
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server did not start; is it installed? hint: scripts/setup-system");
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Ends it as the kernel ends a process that is out of memory.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error says that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same port, empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        assert!(self.spawn(), "redis-server did not start again");
    }

    /// Removes everything that it holds.
    ///
    /// # Panics
    /// When it does not.
    pub fn flush_all(&self) {
        assert_eq!(self.command(&["FLUSHALL"]), "OK");
    }

    /// Runs one command by `redis-cli`, and gives what it says.
    ///
    /// # Panics
    /// When the command fails.
    pub fn command(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &self.port.to_string()]).args(words).output();
        let output = output.expect("redis-cli lies beside redis-server");
        assert!(output.status.success(), "redis-cli {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn spawn(&mut self) -> bool {
        self.kill();
        let path = self.folder.join("redis.log");
        let log = std::fs::File::options().create(true).append(true).open(&path);
        let log = log.expect("a log can be written");
        let said_before = std::fs::read(&path).expect("a log can be read").len();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log);
        let process = self.process.insert(command.spawn().expect("redis-server can be run"));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if process.try_wait().expect("a child can be waited for").is_some() {
                return false;
            }
            // By its own word: whoever took the port before it would answer a connection too.
            let log = std::fs::read(&path).expect("a log can be read");
            if String::from_utf8_lossy(&log[said_before..]).contains(READY) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server neither ends nor listens");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("a bound port").port()
}
