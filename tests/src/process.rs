//! A `ddpo` process: starts it, watches it, sends signals, and waits with a deadline.

use crate::binary;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait of this module. Long enough for a busy machine; only a hang exceeds it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two checks of a folder.
const LOOK: Duration = Duration::from_micros(200);

/// The status and the output of a process that has exited.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit status; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Checks that the process succeeded.
    ///
    /// # Panics
    /// If the status is not zero.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Checks that the process failed without a panic: a status that is not zero, and one line on standard
    /// error. Returns the line without its `error: `.
    ///
    /// # Panics
    /// If one of the checks fails.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert!(self.code.is_some_and(|code| code != 0), "expected a failure, found {self}");
        assert_eq!(self.stderr.lines().count(), 1, "expected one line, found {self}");
        let message = self.stderr.trim_end().strip_prefix("error: ");
        let message = message.unwrap_or_else(|| panic!("expected `error: `, found {self}"));
        let panicked = message.contains("panicked") || message.contains("inside the program");
        assert!(!panicked, "expected no panic, found {self}");
        message
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Returns a command `ddpo ARGUMENTS` in `folder`, without the caller's settings and `LD_LIBRARY_PATH`.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::ddpo());
    prepare(&mut command, folder);
    command.args(arguments);
    command
}

/// Sets the working folder and removes the caller's settings.
pub fn prepare(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env_remove("LD_LIBRARY_PATH");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["DDPO_", "HF_", "OTEL_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    // Tests must not use the network.
    command.env("HF_HUB_OFFLINE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// A running process, which is killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<()>>,
    said: String,
    complained: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// Starts a command made by [`command`].
    ///
    /// # Panics
    /// If it cannot start.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut stderr = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let complained = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complained);
        let stderr = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(bytes @ 1..) = stderr.read(&mut some) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend(&some[..bytes]);
            }
        });
        Self { child, lines, stderr: Some(stderr), said: String::new(), complained }
    }

    /// Waits until the process prints `text` or exits. Returns whether it printed `text`.
    ///
    /// # Panics
    /// If neither happens in time.
    pub fn says(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.said.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said += &(line + "\n"),
                Err(_) if left.is_zero() => panic!("expected `{text}`, found {}", self.said),
                Err(_) => return false,
            }
        }
        true
    }

    /// Returns the text after `start` in the first line that begins with it.
    ///
    /// # Panics
    /// If the process exits without such a line.
    #[track_caller]
    pub fn said_after(&mut self, start: &str) -> String {
        assert!(self.says(start), "expected a line with `{start}`, found {}", self.said);
        let line = self.said.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_default().to_owned()
    }

    /// Waits until the process prints `text` on standard error or exits. Returns whether it printed `text`.
    ///
    /// # Panics
    /// If neither happens in time.
    pub fn complains(&mut self, text: &str) -> bool {
        let complained = Arc::clone(&self.complained);
        self.reaches(|| text_of(&complained).contains(text))
    }

    /// Waits until `condition` holds or the process has exited. Returns whether it holds.
    ///
    /// # Panics
    /// If neither happens in time.
    pub fn reaches(&mut self, condition: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Checks for the exit first, so that the last effects of the process count.
            let ended = self.has_ended();
            if condition() {
                return true;
            }
            if ended {
                return false;
            }
            assert!(Instant::now() < deadline, "condition not met in time, found {}", self.said);
            std::thread::sleep(LOOK);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Lets the process run for `time`, or until `limit` holds if the machine is fast.
    ///
    /// # Panics
    /// If the process hangs.
    pub fn runs_for(&mut self, time: Duration, limit: impl Fn() -> bool) {
        let end = Instant::now() + time;
        self.reaches(|| Instant::now() >= end || limit());
    }

    /// Kills the process with SIGKILL.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("a child can be killed");
        self.end()
    }

    /// Sends a signal such as `INT`, with the shell's `kill`.
    ///
    /// # Panics
    /// If the process has exited.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "the process exited before the signal");
    }

    /// Waits until the process exits.
    ///
    /// # Panics
    /// If it does not exit in time.
    pub fn end(mut self) -> Ended {
        // No process prints this text, so this reads to the end of standard output.
        while self.says("\0") {}
        let status = self.child.wait().expect("a child can be waited for");
        let read = self.stderr.take().and_then(|thread| thread.join().ok());
        read.expect("standard error can be read");
        let stderr = text_of(&self.complained);
        Ended { code: status.code(), stdout: std::mem::take(&mut self.said), stderr }
    }
}

fn text_of(bytes: &Mutex<Vec<u8>>) -> String {
    let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
