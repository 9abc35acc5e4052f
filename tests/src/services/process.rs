//! A service as a process. Its log is a file of JSON lines, which also contains its addresses.

use crate::binary;
use crate::process;
use crate::services::wait::{PATIENCE, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// One of the three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `ddpo-learner`.
    Learner,
    /// `ddpo-rewarder`.
    Rewarder,
    /// `ddpo-sampler`.
    Sampler,
}

impl Role {
    /// Returns its binary: `ddpo` is the prefix of the services, `double` that of their test doubles,
    /// `faulty` that of services that fail with an error of libtorch.
    fn binary(self, prefix: &str) -> PathBuf {
        let name = match self {
            Self::Learner => "learner",
            Self::Rewarder => "rewarder",
            Self::Sampler => "sampler",
        };
        binary::named(&format!("{prefix}-{name}"))
    }
}

/// A service's process, which is killed on drop.
#[derive(Debug)]
pub struct Service {
    /// One of the three services.
    pub role: Role,
    /// The arguments of its command.
    pub arguments: Vec<String>,
    /// The addresses of gRPC and metrics; zero until the service listens.
    pub addresses: Addresses,
    child: Child,
    log: PathBuf,
}

/// The addresses of a service.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// Metrics and probes.
    pub metrics: SocketAddr,
}

impl Service {
    /// Starts a service in `folder`, with its standard error in the file `log`. Does not wait until it
    /// listens.
    ///
    /// # Panics
    /// If it cannot start.
    pub fn start(
        (prefix, role): (&str, Role),
        folder: &Path,
        log: PathBuf,
        arguments: Vec<String>,
        environment: &[(String, String)],
    ) -> Self {
        let mut command = Command::new(role.binary(prefix));
        process::prepare(&mut command, folder);
        command.args(&arguments).envs(environment.iter().cloned());
        let file = std::fs::File::create(&log).expect("a log can be written");
        command.stdout(file.try_clone().expect("a file has two handles")).stderr(file);
        let child = command.spawn().expect("the binary starts");
        let nowhere = SocketAddr::from(([0; 4], 0));
        let addresses = Addresses { grpc: nowhere, metrics: nowhere };
        Self { role, arguments, addresses, child, log }
    }

    /// Waits until the service listens, and stores its addresses.
    ///
    /// # Panics
    /// If it exits or takes too long.
    pub fn listens(&mut self) -> Addresses {
        let line = until("a service to listen", || {
            let ended = self.has_ended();
            let line = self.line("listening");
            assert!(line.is_some() || !ended, "it exited before it listened: {}", self.text());
            line
        });
        let address = |field: &str| {
            let text = line[field].as_str().unwrap_or_default();
            text.parse().unwrap_or_else(|_| panic!("{field}: found {line:?}"))
        };
        self.addresses = Addresses { grpc: address("address"), metrics: address("metrics") };
        self.addresses
    }

    /// Returns the first line of the log whose message begins with `message`.
    pub fn line(&self, message: &str) -> Option<Map<String, Value>> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.into_iter().find(|line: &Map<String, Value>| {
            line.get("message").and_then(Value::as_str).is_some_and(|m| m.starts_with(message))
        })
    }

    /// Returns the log so far.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.log).expect("a log can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process has exited.
    pub fn signal(&mut self, signal: Signal) {
        assert!(!self.has_ended(), "the process exited before {signal:?}: {}", self.text());
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.expect("a child can be signalled");
    }

    /// Kills the process with SIGKILL.
    ///
    /// # Panics
    /// If it has already exited.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until the process exits.
    ///
    /// # Panics
    /// If it does not exit in time.
    pub fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not exit: {}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns whether the process has exited.
    ///
    /// # Panics
    /// If its status cannot be read.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails if the process has already exited. SIGKILL also ends a stopped process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
