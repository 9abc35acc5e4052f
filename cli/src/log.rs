//! `ddpo log`: logs a run to another program, during the run or afterwards.

use crate::arguments::{LogCommand, LogTarget, WandbCommand};
use crate::output::aside;
use anyhow::{Context, Result, bail};
use ddpo_loggers::WeightsAndBiases;
use ddpo_run::error::FolderError;
use ddpo_run::folder::RunFolder;
use ddpo_run::lock::RunLock;
use ddpo_run::logging::wandb_run;
use ddpo_run::settings::{self, SettingFlags, Settings};
use std::path::Path;
use std::time::Duration;

/// Interval between checks of a run in progress.
const LOOK: Duration = Duration::from_secs(1);

/// The longest wait for uploads.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the command.
pub fn run(command: &LogCommand) -> Result<()> {
    let LogTarget::Wandb(command) = &command.target;
    wandb(command)
}

/// Logs the epochs of a run until no process works on it.
fn wandb(command: &WandbCommand) -> Result<()> {
    let root = &command.run;
    let mut wandb = WeightsAndBiases::start(&wandb_run(&wanted(command)?, root)?)?;
    let mut tell = |line: &str| aside(&format!("wandb: {line}"));
    loop {
        // Checks the lock before it reads the epoch: an epoch that ends in between is still logged.
        let running = matches!(RunLock::take(root), Err(FolderError::InUse(_)));
        let epoch = last_epoch(root)?;
        if !running {
            return Ok(wandb.close(epoch, 0, PATIENCE, &mut tell)?);
        }
        wandb.log(epoch, &mut tell)?;
        std::thread::sleep(LOOK);
    }
}

/// Returns the run's settings, overridden by those of the command.
fn wanted(command: &WandbCommand) -> Result<Settings> {
    let root = &command.run;
    if !RunFolder::existing(root).holds_run() {
        bail!("{}: expected a run's folder, found no run.toml", root.display());
    }
    let (file, flags) = (RunFolder::settings_file(root), SettingFlags::default());
    let run = settings::resolve(Some(&file), std::iter::empty(), &flags)?.settings;
    Ok(Settings {
        wandb_project: command.project.clone().unwrap_or(run.wandb_project),
        wandb_entity: command.entity.clone().or(run.wandb_entity),
        wandb_name: command.name.clone().or(run.wandb_name),
        wandb_tags: command.tags.clone().or(run.wandb_tags),
        save_model: command.save_model || run.save_model,
        ..run
    })
}

/// Returns the epoch of the last line of `metrics.jsonl`, 0 without one.
fn last_epoch(root: &Path) -> Result<u32> {
    let path = RunFolder::existing(root).metrics();
    let text = if path.exists() { std::fs::read_to_string(&path) } else { Ok(String::new()) };
    let text = text.with_context(|| format!("could not read {}", path.display()))?;
    let Some(line) = text.lines().last() else { return Ok(0) };
    let line: serde_json::Value =
        serde_json::from_str(line).with_context(|| path.display().to_string())?;
    Ok(line["epoch"].as_u64().and_then(|epoch| epoch.try_into().ok()).unwrap_or(0))
}
