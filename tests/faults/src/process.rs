//! One service as a process: started on ports of the kernel's choice, signalled, and waited for.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A service that may be up or down, and has been started so many times.
#[derive(Debug)]
pub struct Process {
    /// Its name, which is its worker id.
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
    /// A service that is not started yet; its logs go to `folder`, one file for each start.
    ///
    /// # Panics
    /// When the binary is not there.
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

    /// Other arguments from the next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Starts it; it listens a moment later, see [`Process::listening`].
    ///
    /// # Panics
    /// When the system refuses.
    pub fn start(&mut self) {
        self.starts += 1;
        let log = File::create(self.log()).expect("the test's folder takes files");
        let errors = log.try_clone().expect("a handle can be doubled");
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

    /// The log of this start.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}-{:03}.log", self.name, self.starts))
    }

    /// The address that it serves, once it has said so.
    pub fn listening(&mut self) -> Option<SocketAddr> {
        if self.address.is_none() && self.child.is_some() {
            let text = fs::read_to_string(self.log()).unwrap_or_default();
            self.address = text.lines().find_map(address_of);
        }
        self.address
    }

    /// Whether it is up and serves, and has been asked neither to stop nor to end.
    pub fn is_up(&self) -> bool {
        self.child.is_some() && self.address.is_some() && !self.stopped && !self.asked
    }

    /// Whether it has been asked to end.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// The status of a process that has ended by itself; it counts as not started from then on.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("a child can be waited for")?;
        (self.child, self.address) = (None, None);
        Some(status)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        (self.address, self.stopped, self.asked) = (None, false, false);
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.signal("STOP");
        self.stopped = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal("CONT");
        self.stopped = false;
    }

    /// SIGTERM: it has its grace period from now on.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        self.asked = true;
    }

    /// Waits for its end until `deadline`.
    ///
    /// # Errors
    /// What it did instead.
    ///
    /// # Panics
    /// When the system refuses.
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

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join("\n")
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let script = format!("kill -{name} {}", child.id());
        // The process may be gone; whoever looks after it finds out.
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
    let test = std::env::current_exe().expect("a test knows where it lies");
    let profile = test.ancestors().nth(2).expect("tests lie in PROFILE/deps/");
    let path = profile.join(program);
    assert!(path.is_file(), "no {program} beside the tests: run `make test-slow`");
    path
}
