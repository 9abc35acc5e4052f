//! Expands the command's checkpoints: a run folder stands for all of its checkpoints.

use crate::output::last_name;
use anyhow::Result;
use ddpo_run::checkpoint::{has_state, read_state};
use ddpo_run::folder::RunFolder;
use ddpo_run::settings::{self, SettingFlags, Settings};
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
}

/// Returns the settings of the first run among the sources.
pub fn first_run(sources: &[String]) -> Result<Option<Settings>> {
    let run = sources.iter().find(|source| is_run(source));
    run.map(|run| settings_of(Path::new(run))).transpose()
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
    let source = settings.resume_from_ckpt.unwrap_or(settings.ddpm_ckpt);
    all.push(Checkpoint { name: format!("{lead}pretrained"), source, epoch: Some(0) });
    for (epoch, path) in RunFolder::existing(root).checkpoints()? {
        let (name, source) = (format!("{lead}epoch-{epoch:06}"), path.display().to_string());
        all.push(Checkpoint { name, source, epoch: Some(epoch) });
    }
    Ok(())
}

fn single(source: &str) -> Checkpoint {
    let path = Path::new(source);
    let state = has_state(path).then(|| read_state(path).ok()).flatten();
    let name = match path.is_dir() {
        true => last_name(path),
        false => source.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_', "-"),
    };
    Checkpoint { name, source: source.to_owned(), epoch: state.map(|state| state.epoch) }
}
