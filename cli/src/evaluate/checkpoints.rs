//! Expands the command's checkpoints: a run folder stands for all of its checkpoints.

use crate::output::last_name;
use anyhow::Result;
use ddpo_diffusion::dtype::Dtype;
use ddpo_rollout::trajectory::Digest;
use ddpo_run::checkpoint::{has_state, read_state};
use ddpo_run::folder::RunFolder;
use ddpo_run::resume::recorded_start;
use ddpo_run::settings::{self, SettingFlags, Settings};
use ddpo_run::start::Start;
use std::collections::BTreeSet;
use std::path::Path;

/// One checkpoint to sample from.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Name in tables and folders.
    pub name: String,
    /// A folder, a name on the Hub, or the embedded model.
    pub source: String,
    /// Epochs of training, for a run's checkpoint.
    pub epoch: Option<u32>,
    /// The weights to load.
    pub weights: Weights,
    /// For the start of a run: the weights that the run recorded.
    pub start: Option<RunStart>,
}

/// The weights of a checkpoint that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The weights in `unet/`.
    Trained,
    /// The averaged weights in `unet_ema/` if the checkpoint has them, otherwise those in `unet/`.
    AveragedIfKept,
}

/// The weights that a run started from.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStart {
    /// The run's folder.
    pub run: String,
    /// Type that the run's UNet runs in; the digest depends on it.
    pub dtype: Dtype,
    /// Digest of the weights.
    pub weights: Digest,
}

/// Returns the settings of the first run among the sources.
pub fn first_run(sources: &[String]) -> Result<Option<Settings>> {
    first_run_folder(sources).map(settings_of).transpose()
}

/// Returns the folder of the first run among the sources.
pub fn first_run_folder(sources: &[String]) -> Option<&Path> {
    sources.iter().find(|source| is_run(source)).map(Path::new)
}

fn is_run(source: &str) -> bool {
    RunFolder::settings_file(Path::new(source)).is_file()
}

fn settings_of(root: &Path) -> Result<Settings> {
    let file = RunFolder::settings_file(root);
    Ok(settings::resolve(Some(&file), std::iter::empty(), &SettingFlags::default())?.settings)
}

/// Returns all checkpoints in the order of the sources. A run's base model comes first, then its
/// checkpoints in order of epochs.
pub fn expand(sources: &[String]) -> Result<Vec<Checkpoint>> {
    let several = sources.iter().filter(|source| is_run(source)).count() > 1;
    let mut all = Vec::new();
    for source in sources {
        match is_run(source) {
            true => of_run(Path::new(source), several, &mut all)?,
            false => all.push(single(source)),
        }
    }
    let mut names = BTreeSet::new();
    for checkpoint in &mut all {
        let name = checkpoint.name.clone();
        let mut number = 2;
        while !names.insert(checkpoint.name.clone()) {
            checkpoint.name = format!("{name}-{number}");
            number += 1;
        }
    }
    Ok(all)
}

fn of_run(root: &Path, several: bool, all: &mut Vec<Checkpoint>) -> Result<()> {
    let settings = settings_of(root)?;
    let lead = match several {
        true => last_name(root) + "-",
        false => String::new(),
    };
    all.push(start(root, &lead, &settings)?);
    for (epoch, path) in RunFolder::existing(root).checkpoints()? {
        let (name, source) = (format!("{lead}epoch-{epoch:06}"), path.display().to_string());
        let (epoch, weights) = (Some(epoch), Weights::AveragedIfKept);
        all.push(Checkpoint { name, source, epoch, weights, start: None });
    }
    Ok(())
}

/// Returns the weights that a run's first evaluation draws with. A run takes `unet/` of its pretrained
/// model, and its average starts there. Only the average of a run that starts from a checkpoint
/// continues that checkpoint's average.
fn start(root: &Path, lead: &str, settings: &Settings) -> Result<Checkpoint> {
    let (name, source, weights) = match &settings.resume_from_ckpt {
        Some(from) if settings.ema_decay.is_some() => ("start", from, Weights::AveragedIfKept),
        Some(from) => ("start", from, Weights::Trained),
        None => ("pretrained", &settings.ddpm_ckpt, Weights::Trained),
    };
    let (run, dtype) = (root.display().to_string(), settings.dtype);
    let start = recorded_start(root)?.map(|Start { weights }| RunStart { run, dtype, weights });
    let (name, source) = (format!("{lead}{name}"), source.clone());
    Ok(Checkpoint { name, source, epoch: Some(0), weights, start })
}

fn single(source: &str) -> Checkpoint {
    let path = Path::new(source);
    let state = has_state(path).then(|| read_state(path).ok()).flatten();
    let name = match path.is_dir() {
        true => last_name(path),
        false => source.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_', "-"),
    };
    let (source, epoch) = (source.to_owned(), state.map(|state| state.epoch));
    Checkpoint { name, source, epoch, weights: Weights::AveragedIfKept, start: None }
}
