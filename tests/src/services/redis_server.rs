//! A real `redis-server` on a free port, without persistence. It is killed on drop.

use crate::services::wait::PATIENCE;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The log line of a server that listens.
const READY: &str = "Ready to accept connections";

/// The log line of a server that loads its data, and answers every other command with an error.
const LOADING: &str = "Loading RDB";

/// Options of a server that takes minutes for the data of [`RedisServer::start_loading`]: a delay for each key
/// (microseconds), and the bytes after which it answers.
const SLOW: [&str; 4] =
    ["--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024"];

/// A script that stores 3000 values of a kilobyte.
const FILL: &str =
    "for i = 1, 3000 do redis.call('SET', 'filler:' .. i, string.rep('x', 1000)) end return 'OK'";

/// The server. Its log is in the folder that `start` gets.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    password: Option<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(folder: &Path) -> Self {
        // Another process may take the free port before the server does; then the next port is tried.
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self { folder: folder.into(), port, password: None, process: None };
            if server.spawn(&[], READY) {
                return server;
            }
        }
        panic!("redis-server did not start; is it installed? hint: scripts/setup-system");
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns whether the server runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Kills the server, as the kernel does when memory runs out.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Fails if the server has already exited.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the server again on the same port with an empty store.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        assert!(self.spawn(&[], READY), "redis-server did not start again");
    }

    /// Saves the data, and starts the server again with it. The server loads until
    /// [`Self::loads_quickly`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_loading(&mut self) {
        // Only a server that reads a kilobyte often answers often.
        assert_eq!(self.command(&["CONFIG", "SET", "rdbcompression", "no"]), "OK");
        assert_eq!(self.command(&["EVAL", FILL, "0"]), "OK");
        assert_eq!(self.command(&["SAVE"]), "OK");
        assert!(self.spawn(&SLOW, LOADING), "redis-server did not start again");
    }

    /// Makes a server that loads finish at once.
    ///
    /// # Panics
    /// If the command fails.
    pub fn loads_quickly(&self) {
        assert_eq!(self.command(&["CONFIG", "SET", "key-load-delay", "0"]), "OK");
    }

    /// Sets the password of the server, and closes the connections of its clients.
    ///
    /// # Panics
    /// If a command fails.
    pub fn set_password(&mut self, password: &str) {
        assert_eq!(self.command(&["CONFIG", "SET", "requirepass", password]), "OK");
        self.password = Some(password.to_owned());
        self.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// Removes all data.
    ///
    /// # Panics
    /// If the command fails.
    pub fn flush_all(&self) {
        assert_eq!(self.command(&["FLUSHALL"]), "OK");
    }

    /// Runs a command with `redis-cli` and returns its output.
    ///
    /// # Panics
    /// If the command fails.
    pub fn command(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.envs(self.password.iter().map(|password| ("REDISCLI_AUTH", password)));
        let output = command.args(["-p", &self.port.to_string()]).args(words).output();
        let output = output.expect("redis-cli is installed with redis-server");
        assert!(output.status.success(), "redis-cli {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts the process, and returns whether it has logged `line`.
    fn spawn(&mut self, more: &[&str], line: &str) -> bool {
        self.kill();
        let path = self.folder.join("redis.log");
        let log = std::fs::File::options().create(true).append(true).open(&path);
        let log = log.expect("a log can be written");
        let said_before = std::fs::read(&path).expect("a log can be read").len();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).args(more);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log);
        let process = self.process.insert(command.spawn().expect("redis-server can be run"));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if process.try_wait().expect("a child can be waited for").is_some() {
                return false;
            }
            // Checks the log, because another process on the port would accept connections too.
            let log = std::fs::read(&path).expect("a log can be read");
            if String::from_utf8_lossy(&log[said_before..]).contains(line) {
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
