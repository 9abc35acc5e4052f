//! Opens a run: loads the model, the learner, and the last checkpoint.

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
use crate::start::Start;
use ddpo_algorithm::learner::{Learner, Model as Trained};
use ddpo_diffusion::device;
use ddpo_report::kept::FirstDiversity;
use ddpo_rollout::reward::RewardSpec;
use std::path::Path;
use tch::{Device, Kind};

/// A loaded run that has written nothing yet.
#[derive(Debug)]
pub struct OpenRun<'a> {
    pub(super) plan: &'a Plan,
    /// The reward that scores the images.
    reward: &'a RewardSpec,
    pub(super) folder: &'a RunFolder,
    pub(super) model: Model,
    pub(super) learner: Learner,
    pub(super) evaluations: Evaluations,
    pub(super) metrics: MetricsFile,
    pub(super) logs: Logs,
    pub(super) best_reward: Option<f64>,
    /// Diversity of the first evaluation, if it had enough samples.
    pub(super) first_diversity: Option<FirstDiversity>,
    pub(super) epoch: u32,
    pub(super) saved: Option<u32>,
    /// The settings as checkpoints record them.
    record: Settings,
    device: Device,
    threads: usize,
    /// Held as long as the run; a new run takes it in `begin`.
    lock: Option<RunLock>,
}

impl<'a> OpenRun<'a> {
    /// Loads the last checkpoint in `folder`, or the pretrained model. Locks the folder of an existing
    /// run until the value is dropped.
    ///
    /// # Errors
    /// [`RunError`] if the run is locked or something cannot be loaded.
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
        let (mut epoch, mut first_diversity) = (0, None);
        if let Some((number, path)) = &resumed {
            let state = resume(path, *number, &mut learner)?;
            model.check_configs_of(path)?;
            (epoch, best_reward) = (state.epoch, state.best_reward.or(best_reward));
            first_diversity = state.first_diversity;
        } else if let Some(path) = &plan.settings.resume_from_ckpt {
            best_reward = best_reward.or(start_from(Path::new(path), &model, &mut learner)?);
        }
        // `auto` hides the choice of device, so the log states it.
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
            first_diversity,
            epoch,
            saved: resumed.map(|(epoch, _)| epoch),
            // Checkpoints must not depend on the location of the run.
            record: without_paths(&plan.settings),
            model,
            device,
            threads,
            lock,
        })
    }

    /// Returns the pretrained model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the learner, with the weights that the run continues from.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Returns the number of completed epochs.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the device that the run uses.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the number of CPU threads that the run uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Writes a checkpoint of the current state.
    pub(super) fn save(&mut self) -> Result<(), RunError> {
        let samples = self.plan.settings.num_samples_per_epoch;
        let settings = serde_json::to_value(&self.record)?;
        let state = RunState {
            best_reward: self.best_reward,
            first_diversity: self.first_diversity,
            ..RunState::of(&self.learner, self.epoch, samples, settings)
        };
        let path = self.folder.checkpoint(self.epoch);
        let card = self.card();
        checkpoint::save(&path, &self.learner, self.model.scheduler_text(), &state, &card)?;
        self.saved = Some(self.epoch);
        Ok(())
    }

    /// Returns the model card for a checkpoint of the current state.
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
            classes: self.model.config().num_class_embeds,
            epoch: self.epoch,
            command: Command::Train,
            comparison,
        };
        finetuning.card()
    }

    /// Creates, locks and cleans up the folder.
    pub(super) fn begin(&mut self) -> Result<(), RunError> {
        if self.lock.is_none() {
            self.folder.create()?;
            self.lock = Some(RunLock::take(self.folder.root())?);
            // Another process may have started a run here in the meantime.
            if self.folder.holds_run() {
                return Err(FolderError::Taken(self.folder.root().into()).into());
            }
        }
        self.folder.begin(&self.plan.settings, self.reward, || Start::of(&self.learner))?;
        self.finish_best()
    }

    /// Marks the last checkpoint as the best if the process that wrote it was killed before doing so.
    fn finish_best(&self) -> Result<(), RunError> {
        let (Some(best), Some(epoch)) = (self.best_reward, self.saved) else { return Ok(()) };
        let is_best = self.evaluations.mean_after(epoch) == Some(best);
        if is_best && self.folder.best_reward()? != Some(best) {
            self.folder.mark_best(epoch)?;
        }
        Ok(())
    }
}

/// Creates the learner of a run, with the weights of the pretrained `model`.
///
/// # Errors
/// [`RunError`] if the weights cannot be loaded or the settings are invalid.
pub fn new_learner(
    plan: &Plan,
    model: &Model,
    device: Device,
    threads: usize,
) -> Result<Learner, RunError> {
    let classes = model.classes(plan.settings.class_labels.as_ref())?;
    let steps = plan.settings.num_inference_steps;
    let transitions = plan.transitions(&model.scheduler, steps)?.on(device);
    let rate = plan.learning_rate(plan.settings.num_epochs, plan.settings.num_samples_per_epoch);
    let unet = model.load(Kind::Float, device)?;
    let reference = plan.needs_reference().then(|| model.load(plan.kind(), device)).transpose()?;
    let lanes = unet.parameters().layout().lanes(threads);
    let config = plan.learner.clone();
    let (kind, scheduler) = (plan.kind(), &model.scheduler);
    let trained = Trained { unet, kind, scheduler, reference, classes };
    let learner = Learner::new(config, rate, transitions, trained)?;
    Ok(learner.with_anchors(model.shape).with_lanes(lanes))
}

/// Loads a checkpoint of this run.
fn resume(path: &Path, expected: u32, learner: &mut Learner) -> Result<RunState, RunError> {
    let state = checkpoint::load(path, learner)?;
    match state.epoch == expected {
        true => Ok(state),
        false => Err(RunError::Epoch { path: path.into(), expected, found: state.epoch }),
    }
}

/// Loads weights, optimizer and best reward from a checkpoint of another run; counters start at 0.
fn start_from(path: &Path, model: &Model, learner: &mut Learner) -> Result<Option<f64>, RunError> {
    if path.extension().is_some_and(|extension| extension == "pth") {
        return Err(RunError::StartFromPickle(path.into()));
    }
    let best_reward = checkpoint::load_weights(path, learner)
        .map_err(|source| RunError::StartFrom { path: path.into(), source: source.into() })?;
    model.check_configs_of(path)?;
    Ok(best_reward)
}
