//! A real `redis-server`, on a free port, in a folder of its own, killed when it is dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STARTS_WITHIN: Duration = Duration::from_secs(10);

pub struct RedisServer {
    port: u16,
    scheme: &'static str,
    options: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// A server without persistence: what it held is gone after a restart.
    pub fn start() -> Self {
        Self::start_with("redis", TempDir::new().unwrap(), &[])
    }

    pub fn start_with_password(password: &str) -> Self {
        Self::start_with("redis", TempDir::new().unwrap(), &["--requirepass", password])
    }

    /// A server that demands certificates of its clients; `folder` has its own, and the
    /// authority's, as `server.pem`, `server.key` and `authority.pem`.
    pub fn start_with_tls(folder: TempDir) -> Self {
        let files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"];
        let demand = ["--tls-ca-cert-file", "authority.pem", "--tls-auth-clients", "yes"];
        Self::start_with("rediss", folder, &[files, demand].concat())
    }

    fn start_with(scheme: &'static str, folder: TempDir, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: 0, scheme, options, folder, process: None };
        // Another process may take the port between the look and the start: try another one then.
        for _ in 0..5 {
            server.port = free_port();
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server did not start; is it installed?");
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/", self.scheme, self.port)
    }

    /// Ends it as the kernel ends a process that is out of memory.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !self.spawn() {
            assert!(Instant::now() < deadline, "redis-server did not start again");
        }
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    fn spawn(&mut self) -> bool {
        self.kill();
        let path = self.folder.path().join("log");
        let log = std::fs::File::create(&path).unwrap();
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        match self.scheme {
            "rediss" => command.args(["--port", "0", "--tls-port", &port]),
            _ => command.args(["--port", &port]),
        };
        command.args(["--bind", "127.0.0.1"]).args(&self.options);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(log);
        self.process = Some(command.spawn().expect("redis-server can be run"));
        let deadline = Instant::now() + STARTS_WITHIN;
        while Instant::now() < deadline {
            let process = self.process.as_mut().unwrap();
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            // By its own word: whoever took the port before it would answer a connection too.
            let log = std::fs::read(&path).unwrap();
            if String::from_utf8_lossy(&log).contains("Ready to accept connections") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
