//! The whole service: Redis, a learner, rewarders, samplers, and the proxies between them.

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
/// Epochs that no test reaches.
const ENDLESS: u32 = 1_000_000;
/// How long finishing may take after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a service may take to listen on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The fleet.
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
    /// The way to each rewarder.
    pub to_rewarders: Vec<Proxy>,
    /// The way to the learner.
    pub to_learner: Proxy,
    /// Asks the services.
    pub runtime: Runtime,
    /// Services that ended although nobody asked them to.
    pub deaths: Vec<String>,
    folder: PathBuf,
    settings: String,
}

impl Fleet {
    /// A fleet whose processes are not started, but for Redis. `folder` takes logs and results.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(folder: &Path) -> Self {
        let redis = RedisServer::start(folder);
        let to_rewarders: Vec<Proxy> = (0..2).map(|_| Proxy::start()).collect();
        let to_learner = Proxy::start();
        let path = folder.join("run.toml");
        let text = settings(&redis.url(), &to_rewarders, &to_learner);
        fs::write(&path, text).expect("the test's folder takes files");
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

    /// The learner ends by itself after so many epochs, from its next start on.
    pub fn end_after(&mut self, epochs: u32) {
        let arguments = learner_arguments(&self.settings, epochs);
        self.learner.set_arguments(&arguments.each_ref().map(String::as_str));
    }

    /// All services.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let others = self.rewarders.iter_mut().chain(&mut self.samplers);
        std::iter::once(&mut self.learner).chain(others)
    }

    /// Starts all services and waits until they listen.
    ///
    /// # Panics
    /// When one does not.
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

    /// Has the proxies follow the services, and starts again who ended by himself: whoever runs the
    /// services does the same.
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

    /// Asks all services to stop, at once, and waits for their ends.
    ///
    /// # Errors
    /// Who did not end well, or not within his grace period.
    pub fn stop(&mut self) -> Result<(), String> {
        self.processes().for_each(Process::terminate);
        let deadline = Instant::now() + GRACE + Duration::from_secs(3);
        let ends: Vec<_> = self.processes().filter_map(|one| one.end_by(deadline).err()).collect();
        match ends.is_empty() {
            true => Ok(()),
            false => Err(ends.join("\n")),
        }
    }

    /// What the learner has written.
    ///
    /// # Panics
    /// When it cannot be read: it is always whole.
    pub fn state(&self) -> CountingState {
        state_of(&self.folder.join("run")).expect("fake.json is whole at any time")
    }

    /// The counters of some services.
    ///
    /// # Panics
    /// When one does not answer.
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
