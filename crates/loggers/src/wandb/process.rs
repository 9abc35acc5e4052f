//! The Python program that logs with the official SDK, as a child process.

use crate::error::LogError;
use crate::wandb::error::WandbError;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Source of the program.
const SOURCE: &str = include_str!("../../python/ddpo_wandb.py");

/// The environment variable that names the interpreter.
const PYTHON: &str = "DDPO_PYTHON";

/// Maximum time for Python to find its modules.
const START: Duration = Duration::from_secs(30);

/// The running program. Dropping the value closes the program's input, which ends it.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    messages: Option<Sender<String>>,
    lines: Receiver<String>,
    run: PathBuf,
}

impl Helper {
    /// Starts the program for the run in `run` and waits until it has found its modules.
    pub fn start(run: &Path, request: &Value) -> Result<Self, WandbError> {
        let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".into());
        let log = log(run);
        let log = File::create(&log).map_err(LogError::io("create", &log))?;
        let mut command = Command::new(&python);
        command.args(["-c", SOURCE, &request.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // Ctrl-C must reach only the run; the program ends after it.
        command.process_group(0);
        let started = command.spawn();
        let mut child = started.map_err(|cause| WandbError::Start { python, cause })?;
        let messages = Some(writer(&mut child));
        let lines = reader(&mut child);
        let mut helper = Self { child, messages, lines, run: run.into() };
        match helper.lines.recv_timeout(START) {
            Err(RecvTimeoutError::Disconnected) => Err(helper.failure()),
            // On a slow machine, missing modules are reported later.
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(helper),
        }
    }

    /// Sends a message. Never blocks.
    pub fn send(&self, message: &Value) {
        if let Some(messages) = &self.messages {
            // Fails if the program ended, which `lines` reports.
            let _ = messages.send(format!("{message}\n"));
        }
    }

    /// Passes the lines so far to `tell`.
    pub fn lines(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), WandbError> {
        self.lines.try_iter().for_each(|line| tell(&line));
        if matches!(self.child.try_wait(), Ok(None)) { Ok(()) } else { Err(self.failure()) }
    }

    /// Closes the input and waits up to `patience` for the program to end.
    pub fn finish(
        mut self,
        patience: Duration,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), WandbError> {
        self.messages = None;
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => tell(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    // Fails if the program ended at this moment.
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return Err(WandbError::Slow { patience, run: self.run });
                }
            }
        }
        let succeeded = self.child.wait().is_ok_and(|status| status.success());
        if succeeded { Ok(()) } else { Err(self.failure()) }
    }

    /// Returns the reason why the program ended.
    fn failure(&mut self) -> WandbError {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |it| it.to_string());
        let text = std::fs::read(log(&self.run)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        match last {
            Some(reason) if reason.contains("hint: ") => WandbError::Refused(reason.into()),
            last => {
                let reason = last.map_or(status, Into::into);
                WandbError::Ended { reason, run: self.run.clone() }
            }
        }
    }
}

/// Returns the file of the program's standard error in the folder of a run.
fn log(run: &Path) -> PathBuf {
    run.join("wandb/ddpo.log")
}

/// Starts the thread that writes messages, so that callers do not wait for the program to read.
fn writer(child: &mut Child) -> Sender<String> {
    let (sender, messages) = channel::<String>();
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::spawn(move || {
            messages.into_iter().try_for_each(|message| stdin.write_all(message.as_bytes()))
        });
    }
    sender
}

/// Starts the thread that reads lines.
fn reader(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut read = BufReader::new(stdout).lines().map_while(Result::ok);
            read.try_for_each(|line| sender.send(line))
        });
    }
    lines
}
