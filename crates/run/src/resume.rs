//! The settings of a run that is to go on: the run's own, which whatever is asked beside them has
//! to agree with.

use crate::folder::RunFolder;
use crate::paths::with_absolute_paths;
use crate::plan::Plan;
use crate::settings::{self, Resolved, SettingFlags, Settings};
use ddpo_rollout::reward::{RewardSettings, RewardSpec};
use ddpo_settings::{SettingsError, Source};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Settings whose `auto` was replaced by a number when the run began.
const SIZES: [&str; 2] = ["micro_batch_size", "sample_batch_size"];

/// Why a run cannot go on with the settings that were asked for.
#[derive(Debug, Error)]
pub enum ResumeError {
    /// The folder holds no run.
    #[error("--resume: {} is not there; hint: --output-dir names the run's folder", .0.display())]
    NoRun(PathBuf),
    /// The run's own settings cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A setting contradicts the run's.
    #[error(
        "--resume: {from}: {key} = {asked} differs from the run's {recorded}; \
         hint: leave it out, or start a new run"
    )]
    Differs {
        /// Where it was asked for.
        from: Source,
        /// The setting.
        key: String,
        /// What was asked for.
        asked: String,
        /// What the run has.
        recorded: String,
    },
    /// Settings could not be written as a TOML table: an error of the program.
    #[error("settings: {0}")]
    Schema(#[from] toml::ser::Error),
    /// The run's settings do not make a whole.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: toml::de::Error,
    },
}

/// The settings of the run in the `output_dir` that was asked for. What a file, the environment or
/// a flag set beside it has to agree with them.
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
        // A size that is to follow from the memory agrees with the one that did.
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

/// Returns what a run is scored with: as `run.toml` records it for a run that resumes, otherwise what
/// `resolve` makes of the settings.
///
/// # Errors
/// [`ResumeError::Settings`] and [`ResumeError::File`] for a `run.toml` that cannot be read, and errors
/// of `resolve`.
pub fn reward_spec<E: From<ResumeError>>(
    plan: &Plan,
    resumes: bool,
    resolve: impl FnOnce(&RewardSettings) -> Result<RewardSpec, E>,
) -> Result<RewardSpec, E> {
    let recorded = if resumes { reward_of_run(&plan.folder())? } else { None };
    recorded.map_or_else(|| resolve(&plan.rewards), Ok)
}

/// Returns the recorded specification; `None` for a run from before specifications were recorded.
fn reward_of_run(root: &Path) -> Result<Option<RewardSpec>, ResumeError> {
    let path = RunFolder::settings_file(root);
    let unreadable = |error| SettingsError::Unreadable { path: path.clone(), error };
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let invalid = |source| ResumeError::File { path: path.clone(), source };
    let mut table: Table = text.parse().map_err(invalid)?;
    let spec = table.remove(RewardSpec::TABLE).map(Value::try_into).transpose();
    spec.map_err(invalid)
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("unset".into(), ToString::to_string)
}
