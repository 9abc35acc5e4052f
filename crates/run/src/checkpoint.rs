//! A checkpoint on disk: a diffusers pipeline folder with `optimizer.safetensors`, `state.json`, the
//! model card, and `unet_ema/` if averaged weights are kept. It contains the whole state of a run,
//! so a resumed run is bit-identical to an uninterrupted one.

use crate::model_card::{ModelCard, ModelCardError};
use ddpo_algorithm::advantages::{AdvantageState, RunningMoments};
use ddpo_algorithm::ema::Ema;
use ddpo_algorithm::groups::Seen;
use ddpo_algorithm::learner::{Learner, Position};
use ddpo_algorithm::reward_terms::TermMoments;
use ddpo_checkpoint::{
    LayoutError, LoadError, PipelineToSave, TensorFile, TensorFileError, WriteError,
    averaged_weights, load_into, modern_attention_name, open_pipeline, save_pipeline,
    write_tensors,
};
use ddpo_diffusion::unet::config::ConfigError;
use ddpo_files::{PublishError, WriteFileError, publish_folder, write_file};
use ddpo_report::kept::FirstDiversity;
use ddpo_rollout::trajectory::PolicyVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;
use thiserror::Error;

/// File of the optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";

/// File of the run's state besides tensors.
pub const STATE: &str = "state.json";

const EMA: &str = "unet_ema";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// The state of a run besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Epochs completed.
    pub epoch: u32,
    /// Version of the weights.
    pub policy_version: PolicyVersion,
    /// Optimizer steps taken, including those of the run in `resume_from_ckpt`.
    pub optimizer_step: u64,
    /// Optimizer steps of this run.
    pub schedule_step: u64,
    /// Statistics of all rewards so far, for running advantages.
    pub rewards_seen: RunningMoments,
    /// The same for each class of a class-conditional model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_rewards_seen: BTreeMap<u32, RunningMoments>,
    /// The standard deviation of advantages with a fixed scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_std: Option<f64>,
    /// The weight of the KL from the pretrained model, where it adapts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_coef: Option<f64>,
    /// Statistics of the terms of a sum, if they are standardised over all rewards so far.
    #[serde(default, skip_serializing_if = "TermMoments::is_empty")]
    pub terms_seen: TermMoments,
    /// The same for each class of a class-conditional model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_terms_seen: BTreeMap<u32, TermMoments>,
    /// Best mean evaluation reward so far.
    pub best_reward: Option<f64>,
    /// Diversity of the first evaluation, if it has enough samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_diversity: Option<FirstDiversity>,
    /// (epoch, sample) of the trajectories that the last update trained on.
    pub trained_samples: Vec<(u32, u32)>,
    /// The settings of the run, recorded for readers.
    pub settings: serde_json::Value,
}

impl RunState {
    /// Returns the state of `learner` after `epoch` epochs of `samples` samples each.
    pub fn of(learner: &Learner, epoch: u32, samples: usize, settings: serde_json::Value) -> Self {
        let position = learner.position();
        let last = epoch.saturating_sub(1);
        Self {
            epoch,
            policy_version: position.version,
            optimizer_step: position.optimizer_step,
            schedule_step: position.schedule_step,
            rewards_seen: position.advantages.running.all,
            class_rewards_seen: position.advantages.running.classes,
            advantage_std: position.advantages.fixed_std,
            kl_coef: position.kl_coef,
            terms_seen: position.terms.all,
            class_terms_seen: position.terms.classes,
            best_reward: None,
            first_diversity: None,
            trained_samples: (0..samples as u32).map(|sample| (last, sample)).collect(),
            settings,
        }
    }

    /// Returns the statistics that advantages depend on.
    fn advantages(&self) -> AdvantageState {
        let (all, classes) = (self.rewards_seen, self.class_rewards_seen.clone());
        AdvantageState { running: Seen { all, classes }, fixed_std: self.advantage_std }
    }

    /// Returns the statistics of reward terms.
    fn terms(&self) -> Seen<TermMoments> {
        Seen { all: self.terms_seen.clone(), classes: self.class_terms_seen.clone() }
    }
}

/// Errors from writing and reading a checkpoint.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The folder could not be published.
    #[error("checkpoint: {0}")]
    Publish(Box<PublishError<SaveError>>),
    /// The folder is not a pipeline.
    #[error("checkpoint: {0}")]
    Layout(#[from] LayoutError),
    /// A tensor file cannot be read.
    #[error("checkpoint: {0}")]
    Tensors(#[from] TensorFileError),
    /// A tensor file does not fit the model.
    #[error("checkpoint: {0}")]
    Load(#[from] LoadError),
    /// `state.json` cannot be read.
    #[error("checkpoint: {}: {error}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The statistics in `state.json` belong to a reward with another number of terms.
    #[error("checkpoint: {}: `terms_seen`: expected the reward's number of terms", .0.display())]
    Terms(PathBuf),
}

/// Errors from writing the files of a checkpoint.
#[derive(Debug, Error)]
pub enum SaveError {
    /// A file could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// A text file could not be written.
    #[error("{0}")]
    File(#[from] WriteFileError),
    /// The config could not be written as JSON.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The state could not be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The model card could not be written.
    #[error("{0}")]
    Card(#[from] ModelCardError),
}

/// The contents of a checkpoint's folder.
#[derive(Debug)]
pub struct Contents<'a> {
    /// JSON of the `UNet2DModel`.
    pub unet_config: &'a str,
    /// JSON of the scheduler.
    pub scheduler_config: &'a str,
    /// The weights, f32.
    pub parameters: &'a [(String, Tensor)],
    /// The averaged weights, if the run keeps them.
    pub average: Option<&'a [(String, Tensor)]>,
    /// The optimizer's moments and the run's state. Without them, a run can start from the weights
    /// but not resume.
    pub run: Option<(&'a [(String, Tensor)], &'a RunState)>,
    /// The model card.
    pub card: &'a ModelCard,
}

impl From<PublishError<SaveError>> for CheckpointError {
    fn from(error: PublishError<SaveError>) -> Self {
        Self::Publish(Box::new(error))
    }
}

/// Writes the learner into `folder` atomically (temporary folder, rename).
///
/// # Errors
/// [`CheckpointError::Publish`]; the folder is then unchanged.
pub fn save(
    folder: &Path,
    learner: &Learner,
    scheduler_config: &str,
    state: &RunState,
    card: &ModelCard,
) -> Result<(), CheckpointError> {
    let master = learner.policy().master();
    let config = master.config().to_json().map_err(|e| PublishError::Fill(SaveError::from(e)))?;
    let parameters = detached(master.parameters().entries());
    let moments = learner.optimizer().state(&parameters);
    let contents = Contents {
        unet_config: &config,
        scheduler_config,
        parameters: &parameters,
        average: learner.ema().map(Ema::entries),
        run: Some((&moments, state)),
        card,
    };
    write(folder, &contents)
}

/// Writes `contents` into `folder` atomically (temporary folder, rename).
///
/// # Errors
/// [`CheckpointError::Publish`]; the folder is then unchanged.
pub fn write(folder: &Path, contents: &Contents<'_>) -> Result<(), CheckpointError> {
    publish_folder(folder, |root| fill(root, contents))?;
    Ok(())
}

fn fill(root: &Path, contents: &Contents<'_>) -> Result<(), SaveError> {
    let Contents { unet_config, scheduler_config, parameters, average, run, card } = *contents;
    let metadata = BTreeMap::new();
    let pipeline =
        PipelineToSave { unet_config, scheduler_config, tensors: parameters, metadata: &metadata };
    save_pipeline(root, &pipeline)?;
    if let Some(average) = average {
        let folder = root.join(EMA);
        std::fs::create_dir_all(&folder).map_err(WriteFileError::at(&folder))?;
        write_file(&folder.join("config.json"), unet_config.as_bytes())?;
        let format = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        write_tensors(&folder.join(WEIGHTS), average, &format)?;
    }
    if let Some((moments, state)) = run {
        write_tensors(&root.join(OPTIMIZER), moments, &metadata)?;
        let state = serde_json::to_string_pretty(state)? + "\n";
        write_file(&root.join(STATE), state.as_bytes())?;
    }
    Ok(card.write(root)?)
}

fn detached(entries: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    entries.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
}

/// Returns whether `folder` contains the state of a run besides the model.
pub fn has_state(folder: &Path) -> bool {
    folder.join(STATE).is_file()
}

/// Reads `state.json`.
///
/// # Errors
/// [`CheckpointError::State`] names the file.
pub fn read_state(folder: &Path) -> Result<RunState, CheckpointError> {
    let path = folder.join(STATE);
    let parsed = std::fs::read_to_string(&path)
        .and_then(|text| serde_json::from_str(&text).map_err(std::io::Error::from));
    parsed.map_err(|error| CheckpointError::State { path, error })
}

/// Loads AdamW's moments, with the names of [`AdamW::state`](ddpo_algorithm::adamw::AdamW::state).
///
/// # Errors
/// [`CheckpointError`] if the file is missing or does not fit.
pub fn load_moments(folder: &Path, moments: &[(String, Tensor)]) -> Result<(), CheckpointError> {
    Ok(load_into(&TensorFile::open(&folder.join(OPTIMIZER))?, moments, &str::to_owned)?)
}

/// Loads weights, optimizer, averaged weights and counters into a learner of the same settings.
///
/// # Errors
/// [`CheckpointError`] if a file is missing or does not fit.
pub fn load(folder: &Path, learner: &mut Learner) -> Result<RunState, CheckpointError> {
    let state = read_state(folder)?;
    if !learner.matches_terms(&state.terms()) {
        return Err(CheckpointError::Terms(folder.join(STATE)));
    }
    let entries = learner.policy().master().parameters().entries();
    load_into(&TensorFile::open(&folder.join("unet").join(WEIGHTS))?, entries, &str::to_owned)?;
    load_moments(folder, &learner.optimizer().state(entries))?;
    if let Some(ema) = learner.ema() {
        load_into(
            &TensorFile::open(&folder.join(EMA).join(WEIGHTS))?,
            ema.entries(),
            &str::to_owned,
        )?;
    }
    learner.resume_at(Position {
        version: state.policy_version,
        optimizer_step: state.optimizer_step,
        schedule_step: state.schedule_step,
        advantages: state.advantages(),
        terms: state.terms(),
        kl_coef: state.kl_coef,
    });
    Ok(state)
}

/// Starts a run from another run's checkpoint: loads its weights and, if present, the optimizer's
/// state. The weights become version 0 of the new run. Returns the best reward of the checkpoint.
///
/// # Errors
/// [`CheckpointError`] if a file is missing or does not fit.
pub fn load_weights(folder: &Path, learner: &mut Learner) -> Result<Option<f64>, CheckpointError> {
    let pipeline = open_pipeline(folder)?;
    let entries = learner.policy().master().parameters().entries();
    load_into(&TensorFile::open(&pipeline.weights)?, entries, &modern_attention_name)?;
    if let Some(ema) = learner.ema() {
        // Without an average in the checkpoint, the average starts at the weights.
        let source = averaged_weights(folder).unwrap_or(pipeline.weights);
        load_into(&TensorFile::open(&source)?, ema.entries(), &modern_attention_name)?;
    }
    let (mut best, mut position) = (None, learner.position());
    if has_state(folder) {
        load_moments(folder, &learner.optimizer().state(entries))?;
        let state = read_state(folder)?;
        best = state.best_reward;
        position.optimizer_step = state.optimizer_step;
    }
    learner.resume_at(position);
    Ok(best)
}
