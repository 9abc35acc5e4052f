//! A complete deployment: Redis, a learner, rewarders, samplers, and the proxies between them.

use crate::expected::RUN_SEED;
use crate::inspect::{Counters, counters};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::rogue::{RUN, TASK};
use ddpo_doubles::counting::{CountingState, state_of};
use ddpo_tests::services::redis_server::RedisServer;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Samples in an epoch.
pub const SAMPLES: u32 = 64;
/// A number of epochs that no test reaches.
const ENDLESS: u32 = 1_000_000;
/// Time that a service may take to exit after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);
/// Time that a service may take to listen on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// All processes of a deployment.
#[derive(Debug)]
pub struct Fleet {
    /// Redis.
    pub redis: RedisServer,
    /// The learner.
    pub learner: Process,
    /// The rewarders.
    pub rewarders: Vec<Process>,
    /// The samplers.
    pub samplers: Vec<Process>,
    /// The proxy to each rewarder.
    pub to_rewarders: Vec<Proxy>,
    /// The proxy to the learner.
    pub to_learner: Proxy,
    /// Runs the calls to the services.
    pub runtime: Runtime,
    /// Services that exited without being asked to.
    pub deaths: Vec<String>,
    folder: PathBuf,
    settings: String,
}

impl Fleet {
    /// Makes the deployment and starts Redis only. Logs and results go to `folder`.
    ///
    /// # Panics
    /// If Redis or a proxy cannot start.
    pub fn new(folder: &Path) -> Self {
        let redis = RedisServer::start(folder);
        let to_rewarders: Vec<Proxy> = (0..2).map(|_| Proxy::start()).collect();
        let to_learner = Proxy::start();
        let path = folder.join("run.toml");
        let text = settings(&redis.url(), &to_rewarders, &to_learner);
        fs::write(&path, text).expect("the test's folder is writable");
        let settings = path.display().to_string();
        let config = ["--config", &settings];
        let process = |name: String, program| Process::new(&name, program, &config, folder);
        let mut learner = process("learner".into(), "double-learner");
        learner
            .set_arguments(&learner_arguments(&settings, ENDLESS).each_ref().map(String::as_str));
        let named = |kind: &str, count: usize, program: &'static str| -> Vec<Process> {
            (0..count).map(|index| process(format!("{kind}-{index}"), program)).collect()
        };
        let rewarders = named("rewarder", 2, "double-rewarder");
        let samplers = named("sampler", 4, "double-sampler");
        Self {
            redis,
            learner,
            rewarders,
            samplers,
            to_rewarders,
            to_learner,
            runtime: Runtime::new().expect("a runtime starts"),
            deaths: Vec::new(),
            folder: folder.to_owned(),
            settings,
        }
    }

    /// Sets the number of epochs after which the learner exits, from its next start on.
    pub fn end_after(&mut self, epochs: u32) {
        let arguments = learner_arguments(&self.settings, epochs);
        self.learner.set_arguments(&arguments.each_ref().map(String::as_str));
    }

    /// Returns all services.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let others = self.rewarders.iter_mut().chain(&mut self.samplers);
        std::iter::once(&mut self.learner).chain(others)
    }

    /// Starts all services and waits until they listen.
    ///
    /// # Panics
    /// If one does not.
    pub fn start(&mut self) {
        self.processes().for_each(Process::start);
        let deadline = Instant::now() + STARTS_WITHIN;
        while self.processes().any(|process| process.listening().is_none()) {
            let words: Vec<String> = self.processes().map(|one| one.last_words()).collect();
            assert!(Instant::now() < deadline, "not all services listen: {words:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.look_after();
    }

    /// Points the proxies to the services, and restarts services that have exited, as a supervisor does.
    pub fn look_after(&mut self) {
        let mut deaths = Vec::new();
        for process in self.processes() {
            let _ = process.listening();
            if !process.is_asked()
                && let Some(status) = process.ended()
            {
                deaths.push(format!(
                    "{} ended with {status}: {}",
                    process.name,
                    process.last_words()
                ));
                process.start();
            }
        }
        self.deaths.append(&mut deaths);
        for (proxy, rewarder) in self.to_rewarders.iter().zip(&mut self.rewarders) {
            proxy.lead_to(rewarder.listening());
        }
        self.to_learner.lead_to(self.learner.listening());
    }

    /// Sends SIGTERM to all services together, and waits until they exit.
    ///
    /// # Errors
    /// Names a service that exits with an error or exceeds its grace period.
    pub fn stop(&mut self) -> Result<(), String> {
        self.processes().for_each(Process::terminate);
        let deadline = Instant::now() + GRACE + Duration::from_secs(3);
        let ends: Vec<_> = self.processes().filter_map(|one| one.end_by(deadline).err()).collect();
        match ends.is_empty() {
            true => Ok(()),
            false => Err(ends.join("\n")),
        }
    }

    /// Returns the state that the learner has written.
    ///
    /// # Panics
    /// If it cannot be read. The learner writes it atomically.
    pub fn state(&self) -> CountingState {
        state_of(&self.folder.join("run")).expect("fake.json is written atomically")
    }

    /// Returns the counters of `processes`.
    ///
    /// # Panics
    /// If one does not answer.
    pub fn counters(runtime: &Runtime, processes: &mut [Process]) -> Vec<Counters> {
        let addresses = processes.iter_mut().map(|one| one.listening().expect("it is up"));
        let counters = |address| runtime.block_on(counters(address)).expect("it answers");
        addresses.map(counters).collect()
    }
}

fn learner_arguments(settings: &str, epochs: u32) -> [String; 4] {
    ["--config".to_owned(), settings.to_owned(), "--num-epochs".to_owned(), epochs.to_string()]
}

fn settings(redis: &str, rewarders: &[Proxy], learner: &Proxy) -> String {
    let rewarders: Vec<String> = rewarders.iter().map(Proxy::uri).collect();
    let grace = GRACE.as_secs();
    format!(
        "task = {task:?}
ddpm_ckpt = \"toy-faces-32\"
output_dir = \"run\"
num_samples_per_epoch = {SAMPLES}
batch_size = {SAMPLES}
sample_batch_size = 8
run_seed = {RUN_SEED}
device = \"cpu\"

[service]
listen = \"127.0.0.1:0\"
metrics_listen = \"127.0.0.1:0\"
run_id = {RUN:?}
redis_url = \"{redis}/\"
log_format = \"json\"
grace_period_seconds = {grace}

[sampler]
rewarders = {rewarders:?}
claim_after_seconds = 1.0

[rewarder]
learners = [\"{learner}\"]
max_wait_ms = 2

[learner]
lease_seconds = 2.0
",
        task = TASK.name(),
        learner = learner.uri(),
    )
}
