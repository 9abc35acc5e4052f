//! A service as a process: starts it on free ports, sends it signals, and waits for it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A service that may be running or not, and the number of its starts.
#[derive(Debug)]
pub struct Process {
    /// The name of the service and its worker id.
    pub name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    starts: u32,
    child: Option<Child>,
    address: Option<SocketAddr>,
    stopped: bool,
    asked: bool,
}

impl Process {
    /// Makes a service without starting it. Logs go to `folder`, one file for each start.
    ///
    /// # Panics
    /// If the binary does not exist.
    pub fn new(name: &str, program: &str, arguments: &[&str], folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary(program),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            folder: folder.to_owned(),
            starts: 0,
            child: None,
            address: None,
            stopped: false,
            asked: false,
        }
    }

    /// Sets the arguments from the next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Starts the process without waiting until it listens ([`Process::listening`]).
    ///
    /// # Panics
    /// If the process cannot start.
    pub fn start(&mut self) {
        self.starts += 1;
        let log = File::create(self.log()).expect("the test's folder is writable");
        let errors = log.try_clone().expect("a handle can be cloned");
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).args(["--worker-id", &self.name]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DDPO_") || name == "LD_LIBRARY_PATH" {
                command.env_remove(&name);
            }
        }
        command.current_dir(&self.folder).env("DOUBLE_LATENCY_MS", "30");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.child = Some(command.spawn().expect("the service starts"));
        (self.address, self.stopped, self.asked) = (None, false, false);
    }

    /// Returns the log file of the last start.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}-{:03}.log", self.name, self.starts))
    }

    /// Returns the address that the process serves, if its log states one.
    pub fn listening(&mut self) -> Option<SocketAddr> {
        if self.address.is_none() && self.child.is_some() {
            let text = fs::read_to_string(self.log()).unwrap_or_default();
            self.address = text.lines().find_map(address_of);
        }
        self.address
    }

    /// Returns whether the process serves and has received no signal to stop or exit.
    pub fn is_up(&self) -> bool {
        self.child.is_some() && self.address.is_some() && !self.stopped && !self.asked
    }

    /// Returns whether the process has been asked to exit.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Returns the status of a process that has exited; afterwards it counts as not started.
    ///
    /// # Panics
    /// If the status cannot be read.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("a child can be waited for")?;
        (self.child, self.address) = (None, None);
        Some(status)
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails if the process has already exited, which is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
        (self.address, self.stopped, self.asked) = (None, false, false);
    }

    /// Sends SIGSTOP.
    pub fn stop(&mut self) {
        self.signal("STOP");
        self.stopped = true;
    }

    /// Sends SIGCONT.
    pub fn resume(&mut self) {
        self.signal("CONT");
        self.stopped = false;
    }

    /// Sends SIGTERM, which starts the grace period.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        self.asked = true;
    }

    /// Waits until the process exits, until `deadline` at most.
    ///
    /// # Errors
    /// The process exits with an error, or does not exit.
    ///
    /// # Panics
    /// If the status cannot be read.
    pub fn end_by(&mut self, deadline: Instant) -> Result<(), String> {
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!(
                        "{} ended with {status}: {}",
                        self.name,
                        self.last_words()
                    ));
                }
                None if self.child.is_none() => return Ok(()),
                None if Instant::now() > deadline => {
                    return Err(format!("{} hangs: {}", self.name, self.last_words()));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Returns the last lines of the log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join("\n")
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let script = format!("kill -{name} {}", child.id());
        // The process may have exited; `look_after` detects that.
        let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn address_of(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let said = line["message"].as_str()? == "listening";
    said.then(|| line["address"].as_str()?.parse().ok()).flatten()
}

fn binary(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test can read its own path");
    let profile = test.ancestors().nth(2).expect("tests are in PROFILE/deps/");
    let path = profile.join(program);
    assert!(path.is_file(), "{program}: not found; hint: make test-slow");
    path
}
