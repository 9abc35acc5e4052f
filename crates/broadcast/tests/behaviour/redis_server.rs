//! A real `redis-server` on a free port and in a temporary folder, killed on drop.

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
    /// Starts a server without persistence: a restart loses its data.
    pub fn start() -> Self {
        Self::start_with("redis", TempDir::new().unwrap(), &[])
    }

    pub fn start_with_password(password: &str) -> Self {
        Self::start_with("redis", TempDir::new().unwrap(), &["--requirepass", password])
    }

    /// Starts a server that requires client certificates. `folder` contains its certificate and the
    /// authority's as `server.pem`, `server.key` and `authority.pem`. `more` are further options.
    pub fn start_with_tls(folder: TempDir, more: &[&str]) -> Self {
        let files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"];
        let demand = ["--tls-ca-cert-file", "authority.pem", "--tls-auth-clients", "yes"];
        Self::start_with("rediss", folder, &[&files[..], &demand, more].concat())
    }

    /// Starts a server of a Cluster.
    pub fn start_cluster() -> Self {
        Self::start_with("redis", TempDir::new().unwrap(), &["--cluster-enabled", "yes"])
    }

    /// Starts a server that also listens on the socket `redis.sock` in its folder.
    pub fn start_with_socket() -> Self {
        let options = ["--unixsocket", "redis.sock", "--requirepass", "word"];
        Self::start_with("redis", TempDir::new().unwrap(), &options)
    }

    /// Returns the path of a file in the server's folder.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn start_with(scheme: &'static str, folder: TempDir, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: 0, scheme, options, folder, process: None };
        // Another process may take the port before the server does; then another port is tried.
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

    /// Kills the process as the kernel does when memory runs out.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the server again on the same port, without its data.
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !self.spawn() {
            assert!(Instant::now() < deadline, "redis-server did not start again");
        }
    }

    /// Opens a new connection.
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
            // Waits for the server's log line, because another process on the port could answer a
            // connection.
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
