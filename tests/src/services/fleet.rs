//! All processes of a distributed run, in one temporary folder.

use crate::services::inspector::Inspector;
use crate::services::process::{Role, Service};
use crate::services::redis_server::RedisServer;
use crate::services::toy;
use crate::services::wait::{block_on, until};
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_service::auth::{ClientAuthSettings, install_crypto_provider};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// Name of the run.
pub const RUN_ID: &str = "end-to-end";

/// Lines of a log that a failed test shows.
const TAIL: usize = 40;

/// The content of the settings file: the settings of the run, and the lines of each table.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// The run's settings.
    pub run: String,
    /// Lines of `[service]`, in addition to the run's name, Redis and the log format.
    pub service: String,
    /// Lines of `[learner]`.
    pub learner: String,
    /// Lines of `[rewarder]`.
    pub rewarder: String,
    /// Lines of `[sampler]`.
    pub sampler: String,
    /// Prefix of the binaries: `ddpo`, or `double` for the test doubles.
    pub prefix: &'static str,
    /// Milliseconds that a batch of `double-sampler` takes.
    pub latency_ms: u64,
    /// Environment variables of the processes.
    pub environment: Vec<(String, String)>,
    /// Credentials of the tests' clients; they use TLS if it names CAs.
    pub key: ClientAuthSettings,
}

impl Default for FleetConfig {
    /// Returns the configuration of the toy run.
    fn default() -> Self {
        Self {
            run: toy::RUN.into(),
            service: String::new(),
            learner: "lease_seconds = 2.0".into(),
            rewarder: "reward_threads = 1".into(),
            sampler: "sampler_threads = 1\nsampler_device = \"cpu\"".into(),
            prefix: "ddpo",
            latency_ms: 0,
            environment: Vec::new(),
            key: ClientAuthSettings::default(),
        }
    }
}

impl FleetConfig {
    /// Returns the configuration of a run with test doubles: `epochs` of `samples` in orders of four. The
    /// sampler takes `latency_ms` milliseconds for a batch.
    pub fn fake(epochs: u32, samples: u32, latency_ms: u64) -> Self {
        Self {
            run: format!(
                "num_epochs = {epochs}\nnum_samples_per_epoch = {samples}\nbatch_size = 4\n\
                 sample_batch_size = 4\noutput_dir = \"run\"\ntask = \"jpeg compressibility\"\n"
            ),
            rewarder: String::new(),
            sampler: String::new(),
            prefix: "double",
            latency_ms,
            ..Self::default()
        }
    }
}

/// The processes of a run. A test binary runs one fleet at a time, because fleets that share CPUs would make
/// time bounds meaningless.
#[derive(Debug)]
pub struct Fleet {
    /// The store.
    pub redis: RedisServer,
    config: FleetConfig,
    services: BTreeMap<String, Service>,
    /// Environments of services that fail with an error of libtorch, by service name.
    faults: BTreeMap<String, Vec<(String, String)>>,
    starts: usize,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Fleet {
    /// Makes a fleet that runs only Redis.
    ///
    /// # Panics
    /// If Redis does not start.
    pub fn new(config: FleetConfig) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::in_folder(config, folder)
    }

    /// Makes a fleet in an existing folder, for example with certificates.
    ///
    /// # Panics
    /// If Redis does not start.
    pub fn in_folder(config: FleetConfig, folder: TempDir) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // Ignores the lock's poison after a failed test.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        install_crypto_provider();
        let redis = RedisServer::start(folder.path());
        let FleetConfig { run, service, learner, rewarder, sampler, .. } = &config;
        let text = format!(
            "{run}\n[service]\nrun_id = \"{RUN_ID}\"\nlog_format = \"json\"\n\
             redis_url = \"{}\"\n{service}\n[learner]\n{learner}\n\
             [rewarder]\n{rewarder}\n[sampler]\n{sampler}\n",
            redis.url()
        );
        std::fs::write(folder.path().join("fleet.toml"), text).expect("a file can be written");
        let (services, faults) = (BTreeMap::new(), BTreeMap::new());
        Self { redis, config, services, faults, starts: 0, folder, _alone: alone }
    }

    /// Returns the folder of the fleet.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the service fail from its next start on: from its `call`-th batch or optimizer step, every call
    /// raises an error of libtorch with this text.
    pub fn fails(&mut self, name: &str, call: usize, text: &str) {
        let stage = ("FAULT_STAGE", "training".to_owned());
        let fault = [("FAULT_TEXT", text.to_owned()), ("FAULT_CALL", call.to_string()), stage];
        let fault = fault.map(|(name, value)| (name.to_owned(), value));
        self.faults.insert(name.to_owned(), fault.to_vec());
    }

    /// Has the sampler of this name fail, from its next start on: its `call`-th batch and those after it,
    /// `count` in all, end with an ordinary error of this text.
    pub fn refuses(&mut self, name: &str, call: usize, count: usize, text: &str) {
        self.fails(name, call, text);
        let count = ("FAULT_REFUSALS".to_owned(), count.to_string());
        self.faults.entry(name.to_owned()).or_default().push(count);
    }

    /// Has the service of this name work again, from its next start on.
    pub fn works(&mut self, name: &str) {
        self.faults.remove(name);
    }

    /// Starts a learner and waits until it listens.
    pub fn learner(&mut self, name: &str, more: &[&str]) {
        self.start(Role::Learner, name, more);
        self.service(name).listens();
    }

    /// Starts a rewarder for the existing learners, and waits until it listens.
    pub fn rewarder(&mut self, name: &str) {
        let learners = format!("--learners={}", self.addresses(Role::Learner));
        self.start(Role::Rewarder, name, &[&learners]);
        self.service(name).listens();
    }

    /// Starts a sampler for the existing rewarders, and waits until it listens.
    pub fn sampler(&mut self, name: &str) {
        let rewarders = format!("--rewarders={}", self.addresses(Role::Rewarder));
        self.start(Role::Sampler, name, &[&rewarders]);
        self.service(name).listens();
    }

    /// Starts a learner, a rewarder and a sampler, each named after its role.
    pub fn one_of_each(&mut self) {
        self.learner("learner", &[]);
        self.rewarder("rewarder");
        self.sampler("sampler");
    }

    /// Starts a service without waiting until it listens.
    ///
    /// # Panics
    /// If it cannot start.
    pub fn start(&mut self, role: Role, name: &str, more: &[&str]) {
        let common =
            ["--config=fleet.toml", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"];
        let arguments = common.iter().chain(more).map(|&word| word.to_owned());
        let arguments = arguments.chain([format!("--worker-id={name}")]).collect();
        self.launch(role, name, arguments);
    }

    /// Restarts a service that has exited, with the same command and address.
    ///
    /// # Panics
    /// If it does not listen at that address.
    pub fn start_again(&mut self, name: &str) {
        let service = self.service(name);
        let (role, address) = (service.role, service.addresses.grpc);
        let listen = |word: String| match word.starts_with("--listen=") {
            true => format!("--listen={address}"),
            false => word,
        };
        let arguments = service.arguments.clone().into_iter().map(listen).collect();
        self.launch(role, name, arguments);
        self.service(name).listens();
    }

    fn launch(&mut self, role: Role, name: &str, arguments: Vec<String>) {
        self.starts += 1;
        let log = self.folder.path().join(format!("{:02}-{name}.log", self.starts));
        let FleetConfig { prefix, latency_ms, environment, .. } = &self.config;
        let mut environment = environment.clone();
        environment.push(("DOUBLE_LATENCY_MS".into(), latency_ms.to_string()));
        let fault = self.faults.get(name);
        environment.extend(fault.cloned().unwrap_or_default());
        let program = (if fault.is_some() { "faulty" } else { *prefix }, role);
        let service = Service::start(program, self.folder.path(), log, arguments, &environment);
        self.services.insert(name.to_owned(), service);
    }

    /// Returns the service of this name.
    ///
    /// # Panics
    /// If it does not exist.
    #[track_caller]
    pub fn service(&mut self, name: &str) -> &mut Service {
        self.services.get_mut(name).unwrap_or_else(|| panic!("no service {name}"))
    }

    /// Returns a client of a service's Inspector.
    ///
    /// # Panics
    /// If the service does not exist.
    pub fn inspector(&mut self, name: &str) -> Inspector {
        let address = self.service(name).addresses.grpc;
        let key = self.config.key.open().expect("a key");
        Inspector::new(&key, &self.url(address))
    }

    /// Returns a service's gRPC address.
    pub fn address(&mut self, name: &str) -> SocketAddr {
        self.service(name).addresses.grpc
    }

    /// Returns an address with its scheme.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.config.key.tls_ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    fn addresses(&self, role: Role) -> String {
        let ours = self.services.values().filter(|service| service.role == role);
        ours.map(|service| self.url(service.addresses.grpc)).collect::<Vec<_>>().join(",")
    }

    /// Sends SIGTERM to a service, waits until it exits, and returns its status.
    pub fn terminate(&mut self, name: &str) -> ExitStatus {
        self.service(name).signal(Signal::TERM);
        self.service(name).ends()
    }

    /// Waits until the learner of this name has completed its run.
    ///
    /// # Panics
    /// If it fails, or another process has exited meanwhile.
    #[track_caller]
    pub fn finishes(&mut self, name: &str) {
        let status = self.service(name).ends();
        assert!(status.success(), "{name}: {status}");
        let others = self.services.iter_mut().filter(|(other, _)| *other != name);
        let dead: Vec<&String> =
            others.filter_map(|(name, service)| service.has_ended().then_some(name)).collect();
        assert!(dead.is_empty(), "also exited: {dead:?}");
    }

    /// Runs one service of each kind, kills the learner after the first epoch, starts it again, and waits
    /// until it has finished.
    ///
    /// # Panics
    /// If the run ends before the kill, or fails.
    pub fn finishes_with_a_killed_learner(&mut self) {
        self.one_of_each();
        toy::saved(self.folder(), 1);
        self.service("learner").kill();
        let last = format!("run/checkpoints/epoch-{:06}", toy::EPOCHS);
        assert!(!self.folder().join(last).exists(), "killed too late");
        self.start_again("learner");
        self.finishes("learner");
    }

    /// Removes a service that has exited, so that later services do not get its address.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn bury(&mut self, name: &str) {
        self.services.remove(name).unwrap_or_else(|| panic!("no service {name}"));
    }

    /// Connects the test to Redis.
    ///
    /// # Panics
    /// If the connection fails.
    pub fn store(&self) -> RedisBroadcast {
        let config = RedisConfig::new(self.redis.url(), RUN_ID);
        block_on(RedisBroadcast::connect(&config)).expect("a connection to Redis")
    }

    /// Waits for a service's metrics and returns the page.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub fn metrics(&mut self, name: &str) -> String {
        let address = self.service(name).addresses.metrics;
        until("metrics", || http_get(address, "/metrics").ok())
    }

    /// Waits for the answer of a service's readiness probe and returns it.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub fn readiness(&mut self, name: &str) -> String {
        let address = self.service(name).addresses.metrics;
        until("readiness", || http_get(address, "/readyz").ok())
    }

    /// Returns the logs of all processes that ran in the folder, with their paths.
    ///
    /// # Panics
    /// If the folder cannot be read.
    pub fn logs(&self) -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder can be listed");
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let logs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        let mut logs: Vec<(PathBuf, String)> = logs
            .map(|path| {
                let bytes = std::fs::read(&path).unwrap_or_default();
                (path, String::from_utf8_lossy(&bytes).into_owned())
            })
            .collect();
        logs.sort();
        logs
    }
}

impl Drop for Fleet {
    #[expect(clippy::print_stdout, reason = "shows the logs of a failed test")]
    fn drop(&mut self) {
        self.services.clear();
        if !std::thread::panicking() {
            return;
        }
        for (path, text) in self.logs() {
            println!("---- {}", path.display());
            let lines: Vec<&str> = text.lines().collect();
            lines.iter().skip(lines.len().saturating_sub(TAIL)).for_each(|line| println!("{line}"));
        }
    }
}

fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
