//! `ddpo train`: settles which run is meant (a new one, a resumed one, a dry run) and starts it.

use crate::arguments::TrainCommand;
use crate::interrupt;
use crate::plan::Plan;
use crate::settings::{self, Resolved, Settings};
use crate::train::{self, run_folder::RunFolder};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;

/// Runs the command.
pub fn run(command: &TrainCommand) -> Result<ExitCode> {
    let settings = match command.resume {
        true => resumed_settings(command)?,
        false => resolve(command)?.settings,
    };
    let plan = Plan::new(settings)?;
    if command.dry_run {
        return print(&plan.settings).map(|()| ExitCode::SUCCESS);
    }
    // A reward that is not built is refused before anything is loaded or written.
    ddpo_rewarder::reward_for(plan.task, 1)?;
    crate::device::parse(&plan.settings.device)?;
    interrupt::install()?;
    let folder = match command.resume {
        true => RunFolder::existing(&plan.folder()),
        false => RunFolder::new(&plan.folder())?,
    };
    match train::run(&plan, &folder)? {
        train::Outcome::Finished => Ok(ExitCode::SUCCESS),
        train::Outcome::Interrupted => Ok(ExitCode::from(interrupt::STATUS)),
    }
}

fn resolve(command: &TrainCommand) -> Result<Resolved> {
    let file = command.config.as_deref();
    Ok(settings::resolve(file, crate::environment::variables(), &command.settings)?)
}

/// The settings of the run in `--output-dir`. What is given beside them, by a file, the environment
/// or a flag, has to agree.
fn resumed_settings(command: &TrainCommand) -> Result<Settings> {
    let Resolved { settings: asked, sources } = resolve(command)?;
    let file = RunFolder::settings_file(Path::new(&asked.output_dir));
    if !file.is_file() {
        bail!(
            "--resume: {} is not there; hint: --output-dir names the run's folder",
            file.display()
        );
    }
    let nothing = settings::SettingFlags::default();
    let recorded = settings::resolve(Some(&file), std::iter::empty(), &nothing)?.settings;
    let (asked, mut recorded) = (toml::Table::try_from(&asked)?, toml::Table::try_from(&recorded)?);
    for (key, source) in sources.iter().filter(|(key, _)| *key != "output_dir") {
        let (now, then) = (asked.get(key), recorded.get(key));
        if now != then {
            let show =
                |value: Option<&toml::Value>| value.map_or("unset".into(), ToString::to_string);
            bail!(
                "--resume: {source}: {key} = {} differs from the run's {}; hint: leave it out, or start a new run",
                show(now),
                show(then)
            );
        }
    }
    if let Some(folder) = asked.get("output_dir") {
        recorded.insert("output_dir".into(), folder.clone());
    }
    recorded.try_into().with_context(|| format!("{}", file.display()))
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn print(settings: &Settings) -> Result<()> {
    print!("{}", toml::to_string(settings)?);
    Ok(())
}
