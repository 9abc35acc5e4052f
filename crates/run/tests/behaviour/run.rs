//! The calls of a run to its source of trajectories: their order, their weights, and the results
//! that the run rejects.

use crate::tiny::{SHAPE, rollouts_of, unet};
use ddpo_algorithm::config::Objective;
use ddpo_algorithm::error::LearnError;
use ddpo_checkpoint::{PipelineToSave, save_pipeline};
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_diffusion::transfer::blocking_reads;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::{RewardSpec, Task};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, Trajectory, TrajectoryHeader};
use ddpo_run::error::{RolloutsError, RunError};
use ddpo_run::folder::RunFolder;
use ddpo_run::host::{Host, Outcome};
use ddpo_run::open::OpenRun;
use ddpo_run::plan::Plan;
use ddpo_run::progress::Progress;
use ddpo_run::rollouts::{Request, Rollout, Rollouts, Weights};
use ddpo_run::settings::Settings;
use ddpo_run::train::train;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const SCHEDULER: &str = r#"{"_class_name": "DDPMScheduler", "num_train_timesteps": 1000}"#;

struct Silence;

impl Progress for Silence {
    fn at(&self, _stage: &'static str, _done: usize, _total: usize) {}
    fn say(&self, _line: &str) {}
    fn aside(&self, _line: &str) {}
    fn finish(&self) {}
}

/// When samples are drawn.
#[derive(Clone, Copy, PartialEq)]
pub enum Draws {
    /// As soon as they are prefetched, with the weights of that time.
    Ahead,
    /// When they are requested.
    Late,
    /// All with the first weights.
    WithTheFirst,
}

/// Samplers that record their calls.
pub struct Fake {
    draws: Draws,
    drawn: HashMap<(bool, u32), Vec<ScoredTrajectory>>,
    told: Vec<String>,
    /// Reads of this thread from devices when the last update was over.
    reads_at_update: Option<u64>,
    /// Reads between an update and the publication of its weights.
    reads: Vec<u64>,
}

impl Fake {
    pub fn new(draws: Draws) -> Self {
        Self {
            draws,
            drawn: HashMap::new(),
            told: Vec::new(),
            reads_at_update: None,
            reads: Vec::new(),
        }
    }

    fn draw(request: &Request<'_>) -> Vec<ScoredTrajectory> {
        let Weights { unet, id, .. } = request.weights;
        let drawn = rollouts_of(unet, id.version, request.epoch, request.samples as usize);
        let as_asked = |one: ScoredTrajectory| {
            let mut header: TrajectoryHeader = one.trajectory.header().clone();
            (header.purpose, header.coordinates.run_seed) = (request.purpose, request.run_seed);
            let (states, log_probs) = (one.trajectory.states(), one.trajectory.log_probs());
            let trajectory = Trajectory::new(header, states.to_vec(), log_probs.to_vec()).unwrap();
            ScoredTrajectory { trajectory, ..one }
        };
        drawn.into_iter().map(as_asked).collect()
    }
}

/// Collects the lines of a run.
#[derive(Default)]
pub struct Lines(RefCell<Vec<String>>);

impl Progress for Lines {
    fn at(&self, _stage: &'static str, _done: usize, _total: usize) {}
    fn say(&self, line: &str) {
        self.0.borrow_mut().push(line.to_owned());
    }
    fn aside(&self, _line: &str) {}
    fn finish(&self) {}
}

impl Lines {
    /// Returns all lines.
    pub fn all(self) -> Vec<String> {
        self.0.into_inner()
    }

    /// Returns the lines that are warnings.
    pub fn warnings(self) -> Vec<String> {
        self.0.into_inner().into_iter().filter(|line| line.starts_with("warning")).collect()
    }
}

fn name(request: &Request<'_>) -> String {
    match request.purpose {
        Purpose::Evaluation => format!("evaluation {}", request.weights.id),
        _ => format!("{} {}", request.epoch, request.weights.id),
    }
}

impl Rollouts for Fake {
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError> {
        self.reads.extend(self.reads_at_update.take().map(|before| blocking_reads() - before));
        assert_eq!(weights.digest, weights.unet.parameters().digest());
        assert_eq!(weights.digest, host.digest);
        self.told.push(format!("publish {}", weights.id));
        Ok(())
    }

    fn prefetch(&mut self, request: &Request<'_>) -> Result<(), RolloutsError> {
        self.told.push(format!("prefetch {}", name(request)));
        let key = (request.purpose == Purpose::Evaluation, request.epoch);
        match self.draws {
            Draws::Ahead => _ = self.drawn.insert(key, Self::draw(request)),
            Draws::WithTheFirst if self.drawn.is_empty() => {
                let all = (0..9)
                    .map(|epoch| ((false, epoch), Self::draw(&Request { epoch, ..*request })));
                self.drawn = all.collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        _progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        self.told.push(format!("rollout {}", name(request)));
        let key = (request.purpose == Purpose::Evaluation, request.epoch);
        let scored = self.drawn.remove(&key).unwrap_or_else(|| Self::draw(request));
        Ok(Some(Rollout {
            scored,
            seconds_sampling: 0.5,
            seconds_scoring: 0.0,
            operations: Some(1_000),
        }))
    }

    fn updated(&mut self) {
        self.reads_at_update = Some(blocking_reads());
    }

    fn saved(&mut self, epochs: u32) -> Result<(), RolloutsError> {
        self.told.push(format!("saved {epochs}"));
        Ok(())
    }
}

/// Returns a folder with the checkpoint `model`, and the settings of a run on it.
pub fn workshop() -> (tempfile::TempDir, Settings) {
    workshop_of(&unet(1))
}

/// Returns the same for another model.
pub fn workshop_of(network: &UNet) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = PipelineToSave {
        unet_config: &network.config().to_json().unwrap(),
        scheduler_config: SCHEDULER,
        tensors: network.parameters().entries(),
        metadata: &BTreeMap::new(),
    };
    let model = folder.path().join("model");
    save_pipeline(&model, &pipeline).unwrap();
    let settings = Settings {
        task: Task::JpegCompressibility,
        ddpm_ckpt: model.display().to_string(),
        output_dir: folder.path().join("run").display().to_string(),
        run_seed: 11,
        num_epochs: 4,
        num_samples_per_epoch: 4,
        batch_size: 4,
        num_inference_steps: 5,
        initial_lr: 1e-5,
        peak_lr: 1e-5,
        ratio_tolerance: 1e-3,
        objective: Objective::Decoupled,
        num_eval_samples: 2,
        device: "cpu".into(),
        threads: Some(1),
        ..Settings::default()
    };
    (folder, settings)
}

fn run(settings: &Settings, rollouts: &mut Fake) -> Result<Outcome, RunError> {
    run_reporting(settings, rollouts, &Silence)
}

/// Runs, and reports to `progress`.
pub fn run_reporting(
    settings: &Settings,
    rollouts: &mut dyn Rollouts,
    progress: &dyn Progress,
) -> Result<Outcome, RunError> {
    run_until(settings, rollouts, progress, &|| false)
}

/// Runs until `stop` returns true, and reports to `progress`.
pub fn run_until(
    settings: &Settings,
    rollouts: &mut dyn Rollouts,
    progress: &dyn Progress,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, RunError> {
    let plan = Plan::new(settings.clone()).unwrap();
    let folder = RunFolder::existing(&plan.folder());
    let spec = RewardSpec::plain(plan.rewards.reward.clone());
    let open = OpenRun::open(&plan, &spec, &folder, progress)?;
    assert_eq!(open.model().shape, SHAPE);
    let host = Host { progress, stop, command: "test" };
    train(open, rollouts, &host)
}

/// Returns the lags of each epoch from `metrics.jsonl`; none for lines without `staleness`.
fn lags(settings: &Settings) -> Vec<Vec<u64>> {
    let path = Path::new(&settings.output_dir).join("metrics.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let told = line["staleness"].as_array().cloned().unwrap_or_default();
        told.iter().map(|one| one["lag"].as_u64().unwrap()).collect()
    };
    text.lines().map(line).collect()
}

#[test]
fn rates_of_operations_are_recorded() {
    let (_folder, settings) = workshop();
    run(&Settings { num_epochs: 1, ..settings.clone() }, &mut Fake::new(Draws::Ahead)).unwrap();
    let text = std::fs::read_to_string(Path::new(&settings.output_dir).join("metrics.jsonl"));
    let line: serde_json::Value = serde_json::from_str(text.unwrap().trim()).unwrap();
    assert_eq!(line["flops_sampling"], 2_000.0);
    assert!(line["flops_training"].as_f64().unwrap() > 1e4, "{line}");
}

#[test]
fn weights_are_copied_to_the_host_once_an_update() {
    let (_folder, settings) = workshop();
    let mut fake = Fake::new(Draws::Ahead);
    run(&Settings { num_epochs: 3, ..settings }, &mut fake).unwrap();
    assert_eq!(fake.reads, [unet(1).parameters().entries().len() as u64; 3]);
}

#[test]
fn prefetches_one_epoch_at_a_time_on_policy() {
    let (_folder, settings) = workshop();
    let settings = Settings {
        num_epochs: 2,
        eval_every_each_epoch: Some(2),
        ema_decay: Some(0.9),
        ..settings
    };
    let mut fake = Fake::new(Draws::Ahead);
    assert_eq!(run(&settings, &mut fake).unwrap(), Outcome::Finished);
    let expected = [
        "publish v0",
        "publish v0-average",
        "prefetch evaluation v0-average",
        "prefetch 0 v0",
        "rollout evaluation v0-average",
        "rollout 0 v0",
        "publish v1",
        "prefetch 1 v1",
        "saved 1",
        "rollout 1 v1",
        "publish v2",
        "publish v2-average",
        "prefetch evaluation v2-average",
        "rollout evaluation v2-average",
        "saved 2",
    ];
    assert_eq!(fake.told, expected);
    assert_eq!(lags(&settings), [[0; 0]; 2]);
}

#[test]
fn prefetches_max_staleness_epochs_ahead() {
    let (_folder, settings) = workshop();
    let settings = Settings { max_staleness: 2, num_epochs: 5, ..settings };
    let mut fake = Fake::new(Draws::Ahead);
    run(&settings, &mut fake).unwrap();
    let announced = fake.told.iter().filter(|told| told.starts_with("prefetch"));
    let expected =
        ["prefetch 0 v0", "prefetch 1 v0", "prefetch 2 v0", "prefetch 3 v1", "prefetch 4 v2"];
    assert_eq!(announced.collect::<Vec<_>>(), expected);
    assert_eq!(lags(&settings), [vec![], vec![1], vec![2], vec![2], vec![2]]);
}

/// Samples drawn late have newer weights than allowed, which is harmless.
#[test]
fn samples_drawn_on_request_have_no_lag() {
    let (_folder, settings) = workshop();
    let settings = Settings { max_staleness: 2, ..settings };
    run(&settings, &mut Fake::new(Draws::Late)).unwrap();
    assert_eq!(lags(&settings), [[0; 0]; 4]);
}

#[test]
fn stale_samples_end_the_run_and_a_resumed_run_draws_new_ones() {
    let (_folder, settings) = workshop();
    let settings = Settings { max_staleness: 1, ..settings };
    let error = run(&settings, &mut Fake::new(Draws::WithTheFirst)).unwrap_err();
    let RunError::Learn(LearnError::Stale { sample: 0, lag: 2, bound: 1, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(lags(&settings), [vec![], vec![1]]);
    // A source that still has samples of the first weights is rejected at once.
    let mut left = Fake::new(Draws::WithTheFirst);
    left.drawn.insert((false, 2), {
        let network = unet(1);
        rollouts_of(&network, Default::default(), 2, 4)
    });
    let error = run(&settings, &mut left).unwrap_err();
    assert!(matches!(error, RunError::Learn(LearnError::Stale { lag: 2, .. })), "{error}");

    let mut fake = Fake::new(Draws::Ahead);
    run(&settings, &mut fake).unwrap();
    let announced = fake.told.iter().filter(|told| told.starts_with("prefetch"));
    assert_eq!(announced.collect::<Vec<_>>(), ["prefetch 2 v2", "prefetch 3 v2"]);
    assert_eq!(lags(&settings), [vec![], vec![1], vec![], vec![1]]);
}

/// Returns something other than requested.
struct Wrong(Spoil);

impl Rollouts for Wrong {
    fn publish(
        &mut self,
        _weights: &Weights<'_>,
        _host: &HostWeights,
    ) -> Result<(), RolloutsError> {
        Ok(())
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        let mut rollout = Fake::new(Draws::Late).rollout(request, progress)?;
        rollout.iter_mut().for_each(self.0);
        Ok(rollout)
    }
}

fn of_other_weights(scored: &ScoredTrajectory) -> ScoredTrajectory {
    let (header, states) = (scored.trajectory.header(), scored.trajectory.states());
    let header = TrajectoryHeader { weights_digest: Digest([3; 32]), ..header.clone() };
    let log_probs = scored.trajectory.log_probs().to_vec();
    let trajectory = Trajectory::new(header, states.to_vec(), log_probs).unwrap();
    ScoredTrajectory { trajectory, score: scored.score.clone() }
}

type Spoil = fn(&mut Rollout);

#[test]
fn rejects_samples_that_differ_from_the_request() {
    let cases: [(Spoil, &str); 4] = [
        (|all| all.scored.swap(1, 2), "sampling: expected sample 1, found Rollout 2 of epoch 0"),
        (|all| drop(all.scored.pop()), "sampling: expected sample 3, found none"),
        (
            |all| all.scored[2] = of_other_weights(&all.scored[2]),
            "sampling: sample 2 of v0: expected weights ..., found 0303",
        ),
        (|all| all.scored.extend_from_within(..1), "sampling: expected sample 4, found 5 samples"),
    ];
    for (spoil, expected) in cases {
        let (_folder, settings) = workshop();
        let plan = Plan::new(settings).unwrap();
        let folder = RunFolder::new(&plan.folder()).unwrap();
        let spec = RewardSpec::plain(plan.rewards.reward.clone());
        let open = OpenRun::open(&plan, &spec, &folder, &Silence).unwrap();
        let host = Host { progress: &Silence, stop: &|| false, command: "test" };
        let error = train(open, &mut Wrong(spoil), &host).unwrap_err().to_string();
        let (start, rest) = expected.split_once("...").unwrap_or((expected, ""));
        assert!(error.starts_with(start) && error.contains(rest), "{error}");
    }
}
