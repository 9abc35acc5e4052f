//! One attempt at a run: a child process `ddpo train`, its log, its time, and how it ends.

use crate::interrupt;
use crate::sweep::cost::{CostRecord, cpu_seconds};
use crate::sweep::earlier::exists;
use crate::sweep::plan::PlannedRun;
use anyhow::{Context, Result, bail};
use ddpo_files::write_file;
use ddpo_run::error::FolderError;
use ddpo_run::lock::RunLock;
use ddpo_run::settings::Settings;
use ddpo_settings::environment::PREFIX;
use ddpo_settings::table::SettingsTable;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The log of a run: what `ddpo train` prints, of all attempts.
pub const LOG: &str = "train.log";

/// The settings file of a run.
const SETTINGS: &str = "settings.toml";

/// Time between two looks at a child.
const LOOK: Duration = Duration::from_millis(20);

/// Time between two records of a child's time; a killed sweep loses at most this.
const RECORD: Duration = Duration::from_secs(1);

/// Longest wait for the process of a killed sweep to end, which the kernel kills with it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes at the end of a log that are searched for its last lines.
const TAIL: usize = 4096;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The run is finished.
    Finished,
    /// The sweep was asked to stop.
    Interrupted,
    /// The run failed, with these last lines.
    Failed(String),
}

/// Trains a run, from its last checkpoint if it has one, and waits until it ends.
///
/// # Errors
/// Files that cannot be written, or a process that cannot start.
pub fn attempt(run: &PlannedRun) -> Result<Ended> {
    std::fs::create_dir_all(&run.folder).with_context(|| format!("{}", run.folder.display()))?;
    wait_for_lock(run)?;
    write_file(&run.folder.join(SETTINGS), toml::to_string(&run.settings)?.as_bytes())?;
    let before = CostRecord::read(&run.folder)?;
    let start = Instant::now();
    let mut child = start_child(run)?;
    let watched = watch(&child, before, start, run);
    if watched.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let cost = watched?;
    let finished = status.success();
    CostRecord { finished, ..cost }.write(&run.folder)?;
    Ok(ended(run, status))
}

fn ended(run: &PlannedRun, status: ExitStatus) -> Ended {
    if status.success() {
        return Ended::Finished;
    }
    if interrupt::requested() {
        return Ended::Interrupted;
    }
    let text = std::fs::read(run.folder.join(LOG)).unwrap_or_default();
    Ended::Failed(format!("{status}: {}", last_lines(&text)))
}

/// Returns the last three lines of a log in one line.
fn last_lines(log: &[u8]) -> String {
    let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL)..]).into_owned();
    let lines: Vec<&str> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// Waits until no process works in the run's folder.
fn wait_for_lock(run: &PlannedRun) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match RunLock::take(&run.folder) {
            Err(FolderError::InUse(_)) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Err(error) => bail!(error),
            Ok(_) => return Ok(()),
        }
    }
}

/// Starts `ddpo train`. The child has its own process group, so that Ctrl-C in a terminal reaches it once,
/// from the sweep; the kernel kills it if the sweep is killed.
fn start_child(run: &PlannedRun) -> Result<Child> {
    let log = run.folder.join(LOG);
    let log = File::options().create(true).append(true).open(&log);
    let log = log.with_context(|| format!("{}", run.folder.join(LOG).display()))?;
    let program = std::env::current_exe().context("could not find this program's file")?;
    let mut command = Command::new(program);
    command.arg("train").arg("--config").arg(run.folder.join(SETTINGS));
    command.arg(format!("--parent={}", std::process::id()));
    if exists(run) {
        command.arg("--resume");
    }
    // The file holds what the environment sets, too.
    for setting in Settings::TABLE {
        command.env_remove(format!("{PREFIX}{}", setting.name.to_uppercase()));
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().context("could not start ddpo train")
}

/// Waits until the child has exited, and records its time. Asks it once to stop if the sweep is asked to.
fn watch(
    child: &Child,
    before: CostRecord,
    start: Instant,
    run: &PlannedRun,
) -> Result<CostRecord> {
    let pid = Pid::from_child(child);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let (mut asked, mut recorded, mut cpu) = (false, start, 0.0);
    loop {
        let has_exited = waitid(WaitId::Pid(pid), options)?.is_some();
        cpu = cpu_seconds(child.id()).unwrap_or(cpu);
        let cost = before.plus(start.elapsed().as_secs_f64(), cpu);
        if has_exited {
            return Ok(cost);
        }
        if interrupt::requested() && !asked {
            // Fails only if the child has exited.
            let _ = kill_process(pid, Signal::TERM);
            asked = true;
        }
        if recorded.elapsed() >= RECORD {
            cost.write(&run.folder)?;
            recorded = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
}
