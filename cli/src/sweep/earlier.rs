//! The runs that an earlier start of the sweep left, whose settings must be those of the file.

use crate::sweep::plan::PlannedRun;
use anyhow::{Result, bail};
use ddpo_run::folder::RunFolder;
use ddpo_run::resume::{ResumeError, settings_of_run};
use ddpo_run::settings::{Resolved, Settings};
use ddpo_settings::Source;
use ddpo_settings::table::SettingsTable;
use std::path::Path;

/// Checks that every run that exists has the settings that are planned.
///
/// # Errors
/// One error with the name of each run that differs, and the setting.
pub fn check(runs: &[PlannedRun], file: &Path) -> Result<()> {
    let mut errors = Vec::new();
    for run in runs.iter().filter(|run| exists(run)) {
        match settings_of_run(&all_given(&run.settings, file)) {
            Ok(_) => {}
            Err(ResumeError::Differs { key, asked, recorded, .. }) => errors
                .push(format!("{}: {key} = {asked} differs from the run's {recorded}", run.name)),
            Err(other) => errors.push(format!("{}: {other}", run.name)),
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => bail!(
            "{}; hint: undo the change in {}, name another --out, or remove these runs",
            errors.join("; "),
            file.display()
        ),
    }
}

/// Returns whether the run's folder contains a run.
pub fn exists(run: &PlannedRun) -> bool {
    RunFolder::existing(&run.folder).holds_run()
}

/// Returns settings of which every one counts as given.
fn all_given(settings: &Settings, file: &Path) -> Resolved {
    let from = Source::File(file.into());
    let sources = Settings::TABLE.iter().map(|one| (one.name.to_owned(), from.clone()));
    Resolved { settings: settings.clone(), sources: sources.collect() }
}
