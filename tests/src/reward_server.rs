//! Runs `examples/reward_server.py`, a reward server as a user would write it.

use crate::services::python::python;
use crate::services::until;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server's process, which is killed on drop.
#[derive(Debug)]
pub struct RewardServer {
    /// The address of the server.
    pub address: SocketAddr,
    child: Child,
}

impl RewardServer {
    /// Starts the server on a free port.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        drop(listener);
        Self::start_at(address)
    }

    /// Starts the server at an address, such as that of a server that was dropped.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn start_at(address: SocketAddr) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/reward_server.py");
        let mut command = Command::new(python());
        command.arg(script).arg(address.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut said = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("standard output can be read");
        assert_eq!(line, format!("listening on {address}\n"), "the server does not listen");
        // The server prints the line when it listens, so this returns immediately.
        until("the reward server", || std::net::TcpStream::connect(address).ok());
        Self { address, child }
    }

    /// Returns the server's address as a reward expression.
    pub fn reward(&self) -> String {
        format!("grpc://{}", self.address)
    }
}

impl RewardServer {
    /// Stops the server's process; its connections stay open, and calls get no answer.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets the process go on.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "the server has ended");
    }
}

impl Drop for RewardServer {
    fn drop(&mut self) {
        // Fails if the server has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
