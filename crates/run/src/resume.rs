//! The settings of a resumed run, which are read from the run's folder. Settings that are given again
//! must agree with them.

use crate::folder::RunFolder;
use crate::paths::with_absolute_paths;
use crate::plan::Plan;
use crate::settings::{self, Resolved, SettingFlags, Settings};
use crate::start::Start;
use ddpo_rollout::reward::{RewardSettings, RewardSpec};
use ddpo_settings::{SettingsError, Source};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Settings whose `auto` is replaced by a number when a run begins.
const SIZES: [&str; 2] = ["micro_batch_size", "sample_batch_size"];

/// Errors from resuming a run with the given settings.
#[derive(Debug, Error)]
pub enum ResumeError {
    /// The folder contains no run.
    #[error("--resume: {} not found; hint: --output-dir names the run's folder", .0.display())]
    NoRun(PathBuf),
    /// The recorded settings cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A setting contradicts the recorded one.
    #[error(
        "--resume: {from}: {key} = {asked} differs from the run's {recorded}; \
         hint: leave it out, or start a new run"
    )]
    Differs {
        /// The source of the given value.
        from: Source,
        /// The setting.
        key: String,
        /// The given value.
        asked: String,
        /// The recorded value.
        recorded: String,
    },
    /// Settings could not be written as a TOML table: an error of the program.
    #[error("settings: {0}")]
    Schema(#[from] toml::ser::Error),
    /// The recorded settings are not valid.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: toml::de::Error,
    },
}

/// Returns the recorded settings of the run in `output_dir`. Values from a file, the environment or
/// a flag must agree with them.
///
/// # Errors
/// [`ResumeError`] names the setting and its source.
pub fn settings_of_run(asked: &Resolved) -> Result<Settings, ResumeError> {
    let path = RunFolder::settings_file(Path::new(&asked.settings.output_dir));
    if !path.is_file() {
        return Err(ResumeError::NoRun(path));
    }
    let nothing = SettingFlags::default();
    let recorded = settings::resolve(Some(&path), std::iter::empty(), &nothing)?.settings;
    let now = Table::try_from(with_absolute_paths(&asked.settings))?;
    let mut then = Table::try_from(&recorded)?;
    for (key, from) in asked.sources.iter().filter(|(key, _)| *key != "output_dir") {
        let (asked, recorded) = (now.get(key), then.get(key));
        // `auto` agrees with the number that replaced it.
        let is_settled = SIZES.contains(&key.as_str()) && asked == Some(&Value::from("auto"));
        if asked != recorded && !is_settled {
            let (asked, recorded) = (shown(asked), shown(recorded));
            let (from, key) = (from.clone(), key.clone());
            return Err(ResumeError::Differs { from, key, asked, recorded });
        }
    }
    if let Some(folder) = now.get("output_dir") {
        then.insert("output_dir".into(), folder.clone());
    }
    then.try_into().map_err(|source| ResumeError::File { path, source })
}

/// Returns the reward specification: the one in `run.toml` if the run resumes, otherwise the result
/// of `resolve`.
///
/// # Errors
/// [`ResumeError::Settings`] and [`ResumeError::File`] if `run.toml` cannot be read, and the errors
/// of `resolve`.
pub fn reward_spec<E: From<ResumeError>>(
    plan: &Plan,
    resumes: bool,
    resolve: impl FnOnce(&RewardSettings) -> Result<RewardSpec, E>,
) -> Result<RewardSpec, E> {
    let recorded = if resumes { recorded_reward(&plan.folder())? } else { None };
    recorded.map_or_else(|| resolve(&plan.rewards), Ok)
}

/// Returns the reward specification that the run in `root` recorded; `None` for runs of older versions,
/// which recorded none.
///
/// # Errors
/// [`ResumeError::Settings`] and [`ResumeError::File`] if `run.toml` cannot be read.
pub fn recorded_reward(root: &Path) -> Result<Option<RewardSpec>, ResumeError> {
    recorded(root, RewardSpec::TABLE)
}

/// Returns what the run in `root` started from; `None` for runs of older versions, which did not record
/// it.
///
/// # Errors
/// [`ResumeError::Settings`] and [`ResumeError::File`] if `run.toml` cannot be read.
pub fn recorded_start(root: &Path) -> Result<Option<Start>, ResumeError> {
    recorded(root, Start::TABLE)
}

/// Returns a table of `run.toml`, if it is there.
fn recorded<T: DeserializeOwned>(root: &Path, name: &str) -> Result<Option<T>, ResumeError> {
    let path = RunFolder::settings_file(root);
    let unreadable = |error| SettingsError::Unreadable { path: path.clone(), error };
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let invalid = |source| ResumeError::File { path: path.clone(), source };
    let mut table: Table = text.parse().map_err(invalid)?;
    table.remove(name).map(Value::try_into).transpose().map_err(invalid)
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("unset".into(), ToString::to_string)
}
