//! What the command's checkpoints stand for: a run's folder for all that it holds.

use anyhow::{Context, Result};
use ddpo_learner::checkpoint::{has_state, read_state};
use ddpo_learner::run::folder::RunFolder;
use ddpo_learner::settings::{self, SettingFlags, Settings};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One checkpoint to sample from.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Name in tables and folders.
    pub name: String,
    /// A folder, a name on the Hub, or the embedded model.
    pub source: String,
    /// Epochs of training, where it is of a run.
    pub epoch: Option<u32>,
}

/// The settings of the first run among the sources.
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

/// All checkpoints, in the order of the sources; those of a run in the order of its epochs, after
/// the model that it began with.
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
        let own = checkpoint.name.clone();
        let mut number = 2;
        while !names.insert(checkpoint.name.clone()) {
            checkpoint.name = format!("{own}-{number}");
            number += 1;
        }
    }
    Ok(all)
}

fn of_run(root: &Path, several: bool, all: &mut Vec<Checkpoint>) -> Result<()> {
    let settings = settings_of(root)?;
    let lead = match several {
        true => last_name(&root.display().to_string()) + "-",
        false => String::new(),
    };
    let source = settings.resume_from_ckpt.unwrap_or(settings.ddpm_ckpt);
    all.push(Checkpoint { name: format!("{lead}pretrained"), source, epoch: Some(0) });
    for (epoch, path) in epochs(root)? {
        let (name, source) = (format!("{lead}epoch-{epoch:06}"), path.display().to_string());
        all.push(Checkpoint { name, source, epoch: Some(epoch) });
    }
    Ok(())
}

/// The checkpoints of a run by epoch. `best` is one of them again.
fn epochs(root: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let folder = root.join("checkpoints");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("{}: expected the checkpoints of a run", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let epoch = name.strip_prefix("epoch-").and_then(|number| number.parse().ok());
        found.extend(epoch.filter(|_| path.join("model_index.json").is_file()).map(|e| (e, path)));
    }
    found.sort();
    Ok(found)
}

fn single(source: &str) -> Checkpoint {
    let path = Path::new(source);
    let state = has_state(path).then(|| read_state(path).ok()).flatten();
    let name = match path.is_dir() {
        true => last_name(source),
        false => source.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_', "-"),
    };
    Checkpoint { name, source: source.to_owned(), epoch: state.map(|state| state.epoch) }
}

fn last_name(source: &str) -> String {
    let whole = Path::new(source).canonicalize().unwrap_or_else(|_| source.into());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "checkpoint".into())
}
