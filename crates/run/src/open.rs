//! Opening a run: the model, the learner, and where its last checkpoint left off.

use crate::card::base::BaseModel;
use crate::card::comparison::Comparison;
use crate::card::finetuning::{Command, Finetuning};
use crate::checkpoint::{self, RunState};
use crate::error::{FolderError, RunError};
use crate::evaluation::Evaluations;
use crate::folder::RunFolder;
use crate::lock::RunLock;
use crate::logging::Logs;
use crate::metrics::MetricsFile;
use crate::model::Model;
use crate::model_card::ModelCard;
use crate::paths::without_paths;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::settings::Settings;
use ddpo_algorithm::learner::{Learner, Model as Trained};
use ddpo_diffusion::device;
use ddpo_rollout::reward::RewardSpec;
use std::path::Path;
use tch::{Device, Kind};

/// A run that is loaded and has written nothing yet.
#[derive(Debug)]
pub struct OpenRun<'a> {
    pub(super) plan: &'a Plan,
    /// What its images are scored with.
    reward: &'a RewardSpec,
    pub(super) folder: &'a RunFolder,
    pub(super) model: Model,
    pub(super) learner: Learner,
    pub(super) evaluations: Evaluations,
    pub(super) metrics: MetricsFile,
    pub(super) logs: Logs,
    pub(super) best_reward: Option<f64>,
    pub(super) epoch: u32,
    pub(super) saved: Option<u32>,
    /// What checkpoints say of the settings.
    record: Settings,
    device: Device,
    threads: usize,
    /// Kept as long as the run; a new run takes it when it begins.
    lock: Option<RunLock>,
}

impl<'a> OpenRun<'a> {
    /// Loads the last checkpoint in `folder`, or the pretrained model. Nobody else may work in the
    /// folder of a run from now on until this is dropped.
    ///
    /// # Errors
    /// [`RunError`] by what cannot be loaded.
    pub fn open(
        plan: &'a Plan,
        reward: &'a RewardSpec,
        folder: &'a RunFolder,
        progress: &dyn Progress,
    ) -> Result<Self, RunError> {
        let lock = folder.holds_run().then(|| RunLock::take(folder.root())).transpose()?;
        let device = device::open(&plan.settings.device, plan.numerics())?;
        device::choose_norm_kernel(plan.settings.norm_kernel, device, plan.kind())?;
        let threads = device::set_threads(plan.settings.threads)?;
        let model = Model::open(&plan.settings.ddpm_ckpt, &mut |line| progress.aside(line))?;
        let mut learner = new_learner(plan, &model, device, threads)?;
        let resumed = folder.last_checkpoint()?;
        let mut best_reward = plan.settings.manual_best_reward;
        let mut epoch = 0;
        if let Some((number, path)) = &resumed {
            let state = resume(path, *number, &mut learner)?;
            (epoch, best_reward) = (state.epoch, state.best_reward.or(best_reward));
        } else if let Some(path) = &plan.settings.resume_from_ckpt {
            best_reward = best_reward.or(start_from(Path::new(path), &mut learner)?);
        }
        // A choice that the program made, or a GPU, is worth a line.
        let name = plan.settings.device.as_str();
        if name != "cpu" {
            progress.aside(&format!("device: {}", device::describe(name, device)));
        }
        Ok(Self {
            plan,
            reward,
            folder,
            learner,
            evaluations: Evaluations::open(folder, epoch)?,
            metrics: MetricsFile::open(&folder.metrics(), epoch)?,
            logs: Logs::open(plan, folder, epoch)?,
            best_reward,
            epoch,
            saved: resumed.map(|(epoch, _)| epoch),
            // Where a run lies has no part in what it is.
            record: without_paths(&plan.settings),
            model,
            device,
            threads,
            lock,
        })
    }

    /// The pretrained model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The learner, with the weights that the run goes on from.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Epochs completed.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The device that it runs on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// CPU threads that it runs on.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Writes a checkpoint of where the run is.
    pub(super) fn save(&mut self) -> Result<(), RunError> {
        let samples = self.plan.settings.num_samples_per_epoch;
        let settings = serde_json::to_value(&self.record)?;
        let state = RunState {
            best_reward: self.best_reward,
            ..RunState::of(&self.learner, self.epoch, samples, settings)
        };
        let path = self.folder.checkpoint(self.epoch);
        let card = self.card();
        checkpoint::save(&path, &self.learner, self.model.scheduler_text(), &state, &card)?;
        self.saved = Some(self.epoch);
        Ok(())
    }

    /// The model card of a checkpoint of where the run is.
    fn card(&self) -> ModelCard {
        let ends = self.evaluations.ends().filter(|(first, last)| first.epoch < last.epoch);
        let comparison =
            ends.map(|(first, last)| Comparison::read(self.folder, self.model.shape, first, last));
        let finetuning = Finetuning {
            base: &BaseModel::of(&self.model),
            settings: &self.record,
            reward: &self.plan.rewards.reward,
            held_out: &self.plan.rewards.held_out,
            shape: self.model.shape,
            epoch: self.epoch,
            command: Command::Train,
            comparison,
        };
        finetuning.card()
    }

    /// Makes the folder ready to be worked in.
    pub(super) fn begin(&mut self) -> Result<(), RunError> {
        if self.lock.is_none() {
            self.folder.create()?;
            self.lock = Some(RunLock::take(self.folder.root())?);
            // Another process may have had the same in mind, and have done already.
            if self.folder.holds_run() {
                return Err(FolderError::Taken(self.folder.root().into()).into());
            }
        }
        self.folder.begin(&self.plan.settings, self.reward)?;
        self.finish_best()
    }

    /// Marks the last checkpoint as the best where the process that wrote it was killed before.
    fn finish_best(&self) -> Result<(), RunError> {
        let (Some(best), Some(epoch)) = (self.best_reward, self.saved) else { return Ok(()) };
        let is_best = self.evaluations.mean_after(epoch) == Some(best);
        if is_best && self.folder.best_reward()? != Some(best) {
            self.folder.mark_best(epoch)?;
        }
        Ok(())
    }
}

/// Makes the learner of a run, with the weights of the pretrained `model`.
///
/// # Errors
/// [`RunError`] by what cannot be loaded.
pub fn new_learner(
    plan: &Plan,
    model: &Model,
    device: Device,
    threads: usize,
) -> Result<Learner, RunError> {
    let steps = plan.settings.num_inference_steps;
    let transitions = plan.transitions(&model.scheduler, steps)?.on(device);
    let rate = plan.learning_rate(plan.settings.num_epochs, plan.settings.num_samples_per_epoch);
    let unet = model.load(Kind::Float, device)?;
    let reference = plan.needs_reference().then(|| model.load(plan.kind(), device)).transpose()?;
    let lanes = unet.parameters().layout().lanes(threads);
    let config = plan.learner.clone();
    let trained = Trained { unet, kind: plan.kind(), scheduler: &model.scheduler, reference };
    let learner = Learner::new(config, rate, transitions, trained)?;
    Ok(learner.with_lanes(lanes))
}

/// Takes up the run's own checkpoint.
fn resume(path: &Path, expected: u32, learner: &mut Learner) -> Result<RunState, RunError> {
    let state = checkpoint::load(path, learner)?;
    match state.epoch == expected {
        true => Ok(state),
        false => Err(RunError::Epoch { path: path.into(), expected, found: state.epoch }),
    }
}

/// Takes weights, optimizer and best reward from a checkpoint of another run; counters start anew.
fn start_from(path: &Path, learner: &mut Learner) -> Result<Option<f64>, RunError> {
    if path.extension().is_some_and(|extension| extension == "pth") {
        return Err(RunError::StartFromPickle(path.into()));
    }
    checkpoint::load_weights(path, learner)
        .map_err(|source| RunError::StartFrom { path: path.into(), source: source.into() })
}
