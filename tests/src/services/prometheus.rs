//! A real Prometheus on a free port with the configuration and rules of `deploy/`. It is killed on drop.

use crate::services::redis_server::free_port;
use crate::services::wait::PATIENCE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The log line of a server that is ready.
const READY: &str = "Server is ready to receive web requests";

/// The server. Its data and log are in the folder that `start` gets.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Child,
    log: PathBuf,
}

/// Returns the path of a file in `deploy/`.
pub fn deployed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    root.join("deploy").join(path)
}

/// Returns the configuration of `deploy/` with the addresses of `targets` instead of DNS names for each job,
/// and a scrape every second.
///
/// # Panics
/// If the file is missing, or `targets` lacks a job.
pub fn configuration(targets: &BTreeMap<&str, Vec<SocketAddr>>) -> String {
    let path = deployed("prometheus/prometheus.yml");
    let text = std::fs::read_to_string(&path).expect("deploy/ has a configuration");
    let depth = |line: &str| line.len() - line.trim_start().len();
    let (mut out, mut job, mut left_out) = (String::new(), "", usize::MAX);
    for line in text.lines() {
        if depth(line) > left_out {
            continue;
        }
        left_out = usize::MAX;
        if let Some((_, name)) = line.split_once("job_name: ") {
            job = name;
        }
        if line.trim() == "dns_sd_configs:" {
            left_out = depth(line);
            let at = targets.get(job).unwrap_or_else(|| panic!("job {job} has no addresses"));
            let at: Vec<String> = at.iter().map(|address| format!("'{address}'")).collect();
            out += &format!("    static_configs:\n      - targets: [{}]\n", at.join(", "));
        } else {
            out += &line.replace("interval: 5s", "interval: 1s");
            out.push('\n');
        }
    }
    out
}

impl Prometheus {
    /// Starts a server that scrapes `targets` and evaluates the rules of `deploy/`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(folder: &Path, targets: &BTreeMap<&str, Vec<SocketAddr>>) -> Self {
        let folder = folder.join("prometheus");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, configuration(targets)).expect("a file can be written");
        std::fs::copy(deployed("prometheus/alerts.yml"), folder.join("alerts.yml"))
            .expect("deploy/ has rules");
        // Another process may take the free port before the server does; then the next port is tried.
        for _ in 0..5 {
            if let Some(server) = Self::spawn(&folder, &config) {
                return server;
            }
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("prometheus did not start: {log}");
    }

    fn spawn(folder: &Path, config: &Path) -> Option<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = folder.join("log");
        let file = std::fs::File::create(&log).expect("a log can be written");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(file);
        let process = command.spawn().expect("prometheus is installed");
        let mut server = Self { address, process, log };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // Checks the log, because another process on the port would answer too.
            let said = std::fs::read(&server.log).expect("a log can be read");
            if String::from_utf8_lossy(&said).contains(READY) {
                return Some(server);
            }
            if server.process.try_wait().expect("a child can be waited for").is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Returns the current value of each series of a query, `NaN` included.
    ///
    /// # Panics
    /// If the query is rejected.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(expression)), expression);
        assert_eq!(data["resultType"], "vector", "{expression}");
        let series = data["result"].as_array().expect("a vector").iter();
        let value = |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok());
        series.map(|one| value(one).expect("a value")).collect()
    }

    /// Returns the alerting rules after they have been evaluated.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules?type=alert", "the rules");
        let groups = data["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    fn ask(&self, path: &str, what: &str) -> Value {
        let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let (_, body) =
            get(self.address, path).unwrap_or_else(|e| panic!("{what}: {e}: {}", log()));
        let answer: Value = serde_json::from_str(&body).expect("Prometheus answers in JSON");
        assert_eq!(answer["status"], "success", "{what}: {answer}");
        answer["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails if the server has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Percent-encodes everything except letters and digits.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let code = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(code).collect()
}

/// Returns status and body. Uses HTTP/1.0, so that the body is not chunked.
fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_default(), body.to_owned()))
}
