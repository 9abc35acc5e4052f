//! One service as a process: its log is a file of JSON lines, which also tells its addresses.

use crate::binary;
use crate::process;
use crate::services::wait::{PATIENCE, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Which of the three.
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

/// A service's process, killed when it is dropped.
#[derive(Debug)]
pub struct Service {
    /// Which of the three.
    pub role: Role,
    /// What it was started with.
    pub arguments: Vec<String>,
    /// Where it is reached, by gRPC and for its metrics; zeros until it listens.
    pub addresses: Addresses,
    child: Child,
    log: PathBuf,
}

/// Where a service is reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// By gRPC.
    pub grpc: SocketAddr,
    /// For metrics and probes.
    pub metrics: SocketAddr,
}

impl Service {
    /// Starts a service in `folder`, with its standard error in the file `log`. It need not get so
    /// far as to listen.
    ///
    /// # Panics
    /// When it cannot be started.
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

    /// Waits for the service to listen, and notes where.
    ///
    /// # Panics
    /// When it ends instead, or takes too long.
    pub fn listens(&mut self) -> Addresses {
        let line = until("a service to listen", || {
            let ended = self.has_ended();
            let line = self.line("listening");
            assert!(line.is_some() || !ended, "it ended before it listened: {}", self.text());
            line
        });
        let address = |field: &str| {
            let text = line[field].as_str().unwrap_or_default();
            text.parse().unwrap_or_else(|_| panic!("{field}: found {line:?}"))
        };
        self.addresses = Addresses { grpc: address("address"), metrics: address("metrics") };
        self.addresses
    }

    /// The first line of the log whose message begins like this.
    pub fn line(&self, message: &str) -> Option<Map<String, Value>> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.into_iter().find(|line: &Map<String, Value>| {
            line.get("message").and_then(Value::as_str).is_some_and(|m| m.starts_with(message))
        })
    }

    /// All that it has written so far.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.log).expect("a log can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&mut self, signal: Signal) {
        assert!(!self.has_ended(), "the process has ended before {signal:?}: {}", self.text());
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.expect("a child can be signalled");
    }

    /// Kills it: SIGKILL, which it cannot see coming.
    ///
    /// # Panics
    /// When it has ended by itself.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails where it has ended, which is as good. A stopped process dies of it too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
