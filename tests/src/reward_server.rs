//! `examples/reward_server.py` as a process: a reward of the user's own, as a user would serve it.

use crate::services::python::python;
use crate::services::until;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server's process, killed when it is dropped.
#[derive(Debug)]
pub struct RewardServer {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl RewardServer {
    /// Starts it at a port that is free.
    ///
    /// # Panics
    /// When it does not get so far as to listen.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        drop(listener);
        Self::start_at(address)
    }

    /// Starts it at an address, perhaps where it was before.
    ///
    /// # Panics
    /// When it does not get so far as to listen.
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
        // The line is said when it listens, so this is at once.
        until("the reward server", || std::net::TcpStream::connect(address).ok());
        Self { address, child }
    }

    /// Its address as a reward.
    pub fn reward(&self) -> String {
        format!("grpc://{}", self.address)
    }
}

impl Drop for RewardServer {
    fn drop(&mut self) {
        // Fails where it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
