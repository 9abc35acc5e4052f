//! `ddpo push`: uploads a checkpoint to the Hugging Face Hub.

use crate::arguments::PushCommand;
use crate::output::{self, say};
use anyhow::{Result, bail};
use ddpo_checkpoint::hub::push::{Push, Visibility, push};
use ddpo_checkpoint::{HubSettings, MODEL_CARD};
use ddpo_run::checkpoint::{OPTIMIZER, STATE};
use ddpo_run::folder::RunFolder;
use std::path::{Path, PathBuf};

/// Runs the command.
pub fn run(command: &PushCommand) -> Result<()> {
    let folder = checkpoint(command)?;
    let message =
        command.message.clone().unwrap_or_else(|| format!("Upload {}", output::last_name(&folder)));
    let leave_out: &[&str] = if command.model_only { &[OPTIMIZER, STATE] } else { &[] };
    let asked = Push {
        repository: &command.repository,
        branch: &command.revision,
        visibility: if command.private { Visibility::Private } else { Visibility::Usual },
        message: &message,
        folder: &folder,
        leave_out,
    };
    let pushed = push(&HubSettings::from_env()?, &asked, &mut output::aside)?;
    say(&format!(
        "{} files of {} in {} ({:.1} MB of them sent to large storage), commit {}",
        pushed.files,
        folder.display(),
        pushed.page,
        pushed.sent_bytes as f64 / 1e6,
        pushed.commit
    ));
    Ok(())
}

/// Returns the checkpoint folder after checking that it contains a model.
fn checkpoint(command: &PushCommand) -> Result<PathBuf> {
    let folder = match &command.checkpoint {
        Some(folder) => folder.clone(),
        None => of_run(command.run.as_deref().unwrap_or_else(|| Path::new(".")))?,
    };
    if !folder.join(output::PIPELINE).is_file() {
        bail!(
            "{}: expected a checkpoint's folder, found no {}",
            folder.display(),
            output::PIPELINE
        );
    }
    if !folder.join(MODEL_CARD).is_file() {
        output::aside(&format!(
            "{} has no {MODEL_CARD}, so the repository will have no model card",
            folder.display()
        ));
    }
    Ok(folder)
}

/// Returns the best checkpoint of a run, or its last one.
fn of_run(root: &Path) -> Result<PathBuf> {
    let run = RunFolder::existing(root);
    if !run.holds_run() {
        bail!("{}: expected a run's folder, found no run.toml", root.display());
    }
    let last = run.last_checkpoint()?;
    match (run.best().is_dir(), last) {
        (true, _) => Ok(run.best()),
        (false, Some((_, folder))) => Ok(folder),
        (false, None) => bail!("{}: the run has no checkpoint yet", root.display()),
    }
}
