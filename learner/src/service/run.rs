//! The service as a whole: takes the lease, opens the run, trains, and drains. The runtime serves
//! the network; the run has a separate thread, which may block.

use crate::service::arrivals::{Arrivals, NOT_READY};
use crate::service::dispatcher::{Dispatcher, DispatcherConfig};
use crate::service::facts::RunFacts;
use crate::service::ledger::Ledger;
use crate::service::page;
use crate::service::progress::LogProgress;
use crate::service::remote::{Reached, RemoteRollouts, note_commit};
use crate::service::settings::LearnerSettings;
use crate::service::status::Source;
use crate::service::store_handle::StoreTaskHandle;
use crate::service::store_task::{StoreTask, StoreTaskConfig};
use anyhow::{Context, Result, anyhow, bail};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::lease::{FenceToken, Lease, LeaseRequest};
use ddpo_broadcast::manifest::WireDtype;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
use ddpo_dashboard::now::Live;
use ddpo_delivery::intake::{Intake, IntakeSettings};
use ddpo_diffusion::dtype::Dtype;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_inspector::board::{Board, BoardLimits};
use ddpo_rewards::resolve;
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::order::RunSpec;
use ddpo_rollout::reward::RewardSpec;
use ddpo_run::error::{FolderError, RunError};
use ddpo_run::folder::RunFolder;
use ddpo_run::host::{Host as RunHost, Outcome};
use ddpo_run::open::OpenRun;
use ddpo_run::plan::Plan;
use ddpo_run::progress::Progress;
use ddpo_run::resume::{reward_spec, settings_of_run};
use ddpo_run::settings::{Resolved, Settings};
use ddpo_run::settle::settle;
use ddpo_run::train::train;
use ddpo_run::watched::{Watched, tell_end};
use ddpo_service::auth::redis_password;
use ddpo_service::device::DeviceWork;
use ddpo_service::health::Health;
use ddpo_service::host::Host;
use ddpo_service::metrics::Metrics;
use ddpo_service::serve::serve;
use ddpo_service::shutdown::Shutdown;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status as GrpcStatus;
use tonic::service::RoutesBuilder;
use tonic::service::interceptor::InterceptedService;

/// The learner's work, as messages about device failures name it.
const WORK: DeviceWork = DeviceWork {
    name: "learner",
    less_memory: "free memory on the device and start the learner again, or start a new run with a \
                  smaller micro_batch_size or dtype = \"bf16\"",
};

/// Names of the health conditions.
pub const CONDITIONS: [&str; 2] = ["lease", "run"];

/// Runs the service until the run ends or shutdown is requested. `work` runs on the training
/// thread, such as [`TrainingThread::train`].
///
/// # Errors
/// Settings, ports or Redis that cannot be used, and failures of `work`.
pub async fn run<W>(
    host: Host,
    learner_settings: LearnerSettings,
    asked: Resolved,
    work: W,
) -> Result<()>
where
    W: FnOnce(&TrainingThread) -> Result<()> + Send + 'static,
{
    let plan = plan_of(&asked, &learner_settings)?;
    let board = Board::new(BoardLimits::default());
    let arrivals = Arc::new(Arrivals::new(board.clone()));
    let intake = Intake::new(
        Arc::clone(&arrivals),
        IntakeSettings {
            credits_per_stream: learner_settings.credits_per_rewarder,
            max_streams: learner_settings.max_rewarders,
            ..IntakeSettings::default()
        },
    );
    let reached = watch::Sender::new(Reached::default());
    let source = Source {
        info: host.info(),
        arrivals: Arc::clone(&arrivals),
        intake: Arc::clone(intake.counters()),
        reached: reached.subscribe(),
    };
    let reached_store = Arc::new(OnceLock::new());
    let sources = page::PageSources {
        folder: plan.folder(),
        board: board.clone(),
        source: source.clone(),
        intake: Arc::clone(intake.counters()),
        store: Arc::clone(&reached_store),
    };
    let names = ["ddpo.v1.Learner", "ddpo.v1.Inspector"];
    serve(&host, &board, source, &names, routes(&intake, &arrivals)).await?;
    let page = page::serve(&host, &learner_settings, sources).await?;
    let store = connect(&host, &learner_settings);
    let store = tokio::select! {
        () = host.shutdown.wait() => None,
        store = store => Some(store?),
    };
    let stay = learner_settings.stay;
    let held = match store {
        None => None,
        Some(store) => {
            // No other code sets it.
            let _ = reached_store.set(Arc::clone(&store));
            take_lease(&host, &learner_settings, &store).await?.map(|lease| (store, lease))
        }
    };
    let trained = match held {
        None => Ok(()),
        Some((store, lease)) => {
            host.health.met("lease", format!("token {}", lease.token));
            let training = TrainingThread {
                plan,
                learner_settings,
                run_id: host.settings.run_id.clone(),
                store,
                lease,
                arrivals,
                board,
                reached,
                health: host.health.clone(),
                metrics: host.metrics.clone(),
                shutdown: host.shutdown.clone(),
                runtime: Handle::current(),
                renewal: CancellationToken::new(),
                store_task: OnceLock::new(),
                live: page.as_ref().map(|page| page.live.clone()),
            };
            training.start(work).await
        }
    };
    if stay && trained.is_ok() {
        // Late trajectories are refused; status, health and metrics still answer.
        intake.drain();
        host.shutdown.wait().await;
    }
    host.health.drain();
    intake.drain();
    host.close().await;
    if let Some(page) = page {
        page.ended().await;
    }
    trained
}

/// Returns the plan of the run in the folder, which is resumed, or of a new run.
fn plan_of(asked: &Resolved, learner_settings: &LearnerSettings) -> Result<Plan> {
    let exists = RunFolder::settings_file(asked.settings.output_dir.as_ref()).is_file();
    let settings: Settings = match exists {
        true => settings_of_run(asked)?,
        false => asked.settings.clone(),
    };
    if learner_settings.weights_dtype != WireDtype::F32 && settings.dtype != Dtype::Bf16 {
        let found = learner_settings.weights_dtype;
        bail!("learner.weights_dtype = {found}: expected f32 where dtype is f32");
    }
    Ok(settle(Plan::new(settings)?, &mut |line| tracing::info!("{line}"))?)
}

async fn connect(host: &Host, learner_settings: &LearnerSettings) -> Result<Arc<RedisBroadcast>> {
    let url = host.settings.redis_url.expose();
    let password = redis_password(&host.settings)?;
    let config = RedisConfig {
        password: password.map(|password| password.expose().to_owned()),
        // The store task has a longer patience, and must renew its lease meanwhile.
        patience: learner_settings.lease() / 3,
        ..RedisConfig::new(url, &host.settings.run_id)
    };
    let connecting = RedisBroadcast::connect_within(&config, RedisConfig::STARTUP_PATIENCE);
    let store = connecting.await.context("redis_url")?;
    Ok(Arc::new(store))
}

/// Takes the lease, or waits for it as a standby; `None` if shutdown is requested before.
async fn take_lease(
    host: &Host,
    learner_settings: &LearnerSettings,
    store: &Arc<RedisBroadcast>,
) -> Result<Option<Lease>> {
    const LOOK: Duration = Duration::from_millis(250);
    let request = LeaseRequest {
        owner: format!("{}-{}", host.worker.id, host.worker.incarnation),
        ttl: learner_settings.lease(),
        last_known: FenceToken(0),
    };
    // A killed learner leaves a lease that lapses. Waits for that even without `standby`.
    let deadline = Instant::now() + learner_settings.patience();
    loop {
        let acquired = tokio::select! {
            // If Redis has granted the lease meanwhile, it lapses.
            () = host.shutdown.wait() => return Ok(None),
            acquired = store.acquire(&request) => acquired,
        };
        let error = match acquired {
            Ok(lease) => return Ok(Some(lease)),
            Err(error) => error,
        };
        host.health.unmet("lease", error.to_string());
        let held = matches!(error, BroadcastError::LeaseHeld { .. });
        if !(held || error.is_transient()) {
            return Err(error.into());
        }
        if !learner_settings.standby && Instant::now() > deadline {
            let hint = "hint: stop the other learner, or start this one with --standby";
            return Err(anyhow!("learner: {error}; {hint}"));
        }
        tokio::select! {
            () = host.shutdown.wait() => return Ok(None),
            () = sleep(LOOK) => {}
        }
    }
}

/// Returns the service that takes trajectories while the run is open.
fn routes(intake: &Intake<Arrivals>, arrivals: &Arc<Arrivals>) -> RoutesBuilder {
    let arrivals = Arc::clone(arrivals);
    // An open stream would keep a rewarder at this standby, away from the active learner.
    let when_open = move |request| match arrivals.is_open() {
        true => Ok(request),
        false => Err(GrpcStatus::unavailable(NOT_READY)),
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(InterceptedService::new(intake.learner_service(), when_open));
    routes
}

/// The state of the training thread.
pub struct TrainingThread {
    /// The run's settings.
    pub plan: Plan,
    learner_settings: LearnerSettings,
    /// Id of the run.
    pub run_id: String,
    store: Arc<RedisBroadcast>,
    lease: Lease,
    arrivals: Arc<Arrivals>,
    board: Board,
    /// The weights and the epoch that the status reports.
    pub reached: watch::Sender<Reached>,
    /// The health conditions.
    pub health: Health,
    /// The service's metrics.
    pub metrics: Metrics,
    /// The shutdown request.
    pub shutdown: Shutdown,
    runtime: Handle,
    /// Cancelled when the store task renews the lease.
    renewal: CancellationToken,
    /// The store task, once it has started.
    store_task: OnceLock<StoreTaskHandle>,
    /// The live page, if there is one.
    live: Option<Live>,
}

/// Renews the lease while the run is opened, which can take longer than the lease lasts. The store
/// task reports a lost lease when it starts.
async fn renew(store: Arc<RedisBroadcast>, lease: Lease, renewal: CancellationToken) {
    while !renewal.is_cancelled() {
        if let Err(error) = store.renew(&lease).await {
            tracing::warn!(%error, "could not renew the lease");
        }
        tokio::select! {
            () = renewal.cancelled() => {}
            () = sleep(lease.ttl / 4) => {}
        }
    }
}

impl TrainingThread {
    /// Runs the thread until it ends.
    async fn start(self, work: impl FnOnce(&Self) -> Result<()> + Send + 'static) -> Result<()> {
        let (done, ended) = oneshot::channel();
        tokio::spawn(renew(Arc::clone(&self.store), self.lease.clone(), self.renewal.clone()));
        let work = move || {
            let result = self.work(work);
            // The runtime waits for this message only.
            let _ = done.send(result);
        };
        std::thread::Builder::new()
            .name("run".into())
            .spawn(work)
            .context("could not start the training thread")?;
        ended.await.unwrap_or_else(|_| Err(anyhow!("learner: the training thread has ended")))
    }

    /// Does the work of the run's thread; if it fails, the condition `run` is not met, and the lease is
    /// given back.
    fn work(&self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let worked = WORK.run(|| work(self));
        worked.inspect_err(|error| {
            self.health.unmet("run", error.to_string());
            self.release();
        })
    }

    /// Gives the lease back after a failure, so that a standby takes over before it lapses. The run's
    /// folder is unlocked by now.
    fn release(&self) {
        const DEADLINE: Duration = Duration::from_secs(5);
        self.renewal.cancel();
        let released = self.runtime.block_on(async {
            match self.store_task.get() {
                Some(store_task) => {
                    store_task.release_within(DEADLINE).await.map_err(anyhow::Error::from)
                }
                None => Ok(timeout(DEADLINE, self.store.release(&self.lease)).await??),
            }
        });
        match released {
            Ok(()) => tracing::info!("the lease is given back"),
            Err(error) => tracing::warn!(%error, "the lease is left to lapse"),
        }
    }

    /// Trains the model.
    ///
    /// # Errors
    /// Failures of the run, its folder, its rewards and Redis.
    pub fn train(&self) -> Result<()> {
        self.train_telling(&LogProgress { metrics: self.metrics.clone() })
    }

    /// Trains the model and reports to `progress`.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_telling(&self, progress: &dyn Progress) -> Result<()> {
        let plan = &self.plan;
        let root = plan.folder();
        let resumes = RunFolder::settings_file(&root).is_file();
        let folder = match resumes {
            true => RunFolder::existing(&root),
            false => RunFolder::new(&root)?,
        };
        let progress = Watched { inner: progress, live: self.live.as_ref() };
        let reward = reward_spec(plan, resumes, |settings| {
            anyhow::Ok(resolve(settings, &mut |line| progress.aside(line))?)
        })?;
        let Some(open) = self.open(&reward, &folder, &progress)? else { return Ok(()) };
        let transitions =
            plan.transitions(&open.model().scheduler, plan.settings.num_inference_steps)?;
        let spec = self.spec(&open, &transitions)?;
        let form = TrajectoryForm {
            dtype: spec.state_dtype,
            shape: Some(open.model().shape),
            chain: ChainFacts::Known(transitions.chain(spec.window, spec.needed_states)),
        };
        let facts = RunFacts {
            trajectories: TrajectoryFacts { run_id: self.run_id.clone(), form: Some(form) },
            reward: reward.clone(),
        };
        let dispatcher = self.dispatcher(spec, facts, open.epoch(), plan.sample_batch)?;
        let store_task = dispatcher.store_task().clone();
        let stop = || self.shutdown.requested();
        let mut rollouts = RemoteRollouts {
            dispatcher,
            wire_dtype: self.learner_settings.weights_dtype,
            board: self.board.clone(),
            reached: self.reached.clone(),
            stop: &stop,
            metrics: self.metrics.clone(),
            batch: None,
            update: None,
        };
        self.metrics.staleness_bound.set([], f64::from(plan.settings.max_staleness));
        self.metrics.ratio_tolerance.set([], plan.learner.ratio_tolerance);
        note_commit(&self.metrics);
        let host = RunHost { progress: &progress, stop: &stop, command: "ddpo-learner" };
        let outcome = train(open, &mut rollouts, &host);
        tell_end(self.live.as_ref(), &outcome);
        let outcome = outcome?;
        self.health.unmet(
            "run",
            match outcome {
                Outcome::Finished => "the run is finished",
                Outcome::Interrupted => "the run was interrupted",
            },
        );
        Ok(store_task.release()?)
    }

    /// Opens the run; `None` if shutdown is requested before. A previous learner that was paused
    /// while its lease lapsed keeps the folder locked until it notices and ends. It cannot write to
    /// Redis meanwhile, as this learner holds the lease.
    fn open<'a>(
        &'a self,
        reward: &'a RewardSpec,
        folder: &'a RunFolder,
        progress: &dyn Progress,
    ) -> Result<Option<OpenRun<'a>>> {
        const LOOK: Duration = Duration::from_millis(250);
        let deadline = Instant::now() + self.learner_settings.patience();
        loop {
            let error = match OpenRun::open(&self.plan, reward, folder, progress) {
                Err(RunError::Folder(error @ FolderError::InUse(_))) => error,
                opened => return Ok(Some(opened?)),
            };
            if self.shutdown.requested() {
                return Ok(None);
            }
            if !self.learner_settings.standby && Instant::now() > deadline {
                return Err(error.into());
            }
            self.health.unmet("run", error.to_string());
            std::thread::sleep(LOOK);
        }
    }

    /// Starts the store task and creates the ledger and the dispatcher. The service accepts
    /// trajectories from then on.
    ///
    /// # Errors
    /// [`StoreTaskError`](crate::service::store_handle::StoreTaskError).
    pub fn dispatcher(
        &self,
        spec: RunSpec,
        facts: RunFacts,
        epoch: u32,
        sample_batch: usize,
    ) -> Result<Dispatcher> {
        let ledger = Arc::new(Ledger::new(facts, epoch));
        let store_task = self.store_task(spec, &ledger)?;
        self.arrivals.begin(Arc::clone(&ledger));
        self.health.met("run", format!("epoch {epoch}"));
        let stall = self.learner_settings.stall();
        let config = DispatcherConfig { run_id: self.run_id.clone(), sample_batch, stall };
        Ok(Dispatcher::new(config, store_task, ledger))
    }

    fn store_task(&self, spec: RunSpec, ledger: &Arc<Ledger>) -> Result<StoreTaskHandle> {
        let config = StoreTaskConfig {
            tick: (self.learner_settings.lease() / 5).min(Duration::from_secs(1)),
            patience: self.learner_settings.redis_patience(),
            shutdown: self.shutdown.clone(),
        };
        let (store, ledger) = (Arc::clone(&self.store), Arc::clone(ledger));
        let (lease, metrics) = (self.lease.clone(), self.metrics.clone());
        self.renewal.cancel();
        let started = StoreTask::start(config, store, ledger, spec, lease, metrics);
        let handle = self.runtime.block_on(started)?;
        Ok(self.store_task.get_or_init(|| handle).clone())
    }

    fn spec(&self, open: &OpenRun<'_>, transitions: &Transitions) -> Result<RunSpec> {
        let settings = &self.plan.settings;
        let model = open.model();
        let steps = settings.num_inference_steps;
        Ok(RunSpec {
            run_id: self.run_id.clone(),
            unet_config: open.learner().policy().network().config().to_json()?,
            scheduler_config: model.scheduler_text().to_owned(),
            scheduler: settings.scheduler.name().into(),
            num_inference_steps: steps,
            eta: settings.eta,
            scheduler_digest: transitions.digest(),
            dtype: settings.dtype.name().into(),
            state_dtype: settings.state_dtype,
            numerics: self.plan.numerics(),
            norm_kernel: settings.norm_kernel,
            window: settings.window,
            needed_states: self.plan.learner.objective.contract().states,
            class_labels: settings.class_labels.clone(),
            task: self.plan.rewards.reward.label(),
        })
    }
}
