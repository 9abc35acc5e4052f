//! Compares whole runs, each in a separate process: repeated, with one and two threads, and killed
//! midway.

use super::arguments::GpuCheckCommand;
use super::findings::Check;
use anyhow::{Context, Result, bail};
use ddpo_rollout::trajectory::Digest;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const EPOCHS: u32 = 3;

/// The longest wait for one run.
const PATIENCE: Duration = Duration::from_secs(300);

/// One run in a folder.
struct Run<'a> {
    folder: PathBuf,
    device: &'a str,
    dtype: &'a str,
    threads: &'a str,
}

pub fn checks(command: &GpuCheckCommand, on_gpu: bool) -> Result<Vec<Check>> {
    let root = tempfile::tempdir_in(&command.out).context("a folder for runs")?;
    let mut checks = Vec::new();
    for dtype in ["f32", "bf16"] {
        let run = |name: &str, threads| Run {
            folder: root.path().join(format!("{dtype}-{name}")),
            device: &command.device,
            dtype,
            threads,
        };
        let first = run("first", "1");
        let expected = first.finish()?.last_weights()?;
        let two_lanes = run("lanes", "2").finish()?.last_weights()?;
        // On a CPU the number of threads changes the order of sums; on a GPU it does not.
        let with_two_lanes = if on_gpu { expected } else { two_lanes };
        let cases = [
            ("a second time", expected, run("second", "1").finish()?),
            ("after a kill", expected, run("killed", "1").killed_after_first_epoch()?.resumed()?),
            ("with two threads", with_two_lanes, run("lanes-again", "2").finish()?),
        ];
        for (case, expected, run) in cases {
            let found = run.last_weights()?;
            let name = format!("the same bytes {case}: {dtype}");
            let check = Check::new(&name, found == expected, &expected.to_string(), &[]);
            checks.push(check.with_found(found.to_string()));
        }
    }
    Ok(checks)
}

impl Run<'_> {
    fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let folder = self.folder.display().to_string();
        command.args(["train", "--ddpm-ckpt", "toy-faces-32", "--task", "jpeg compressibility"]);
        command.args(["--output-dir", &folder, "--device", self.device, "--dtype", self.dtype]);
        command.args(["--threads", self.threads, "--num-epochs", &EPOCHS.to_string()]);
        command.args(["--num-samples-per-epoch", "4", "--batch-size", "2"]);
        command.args(["--num-inference-steps", "6", "--peak-lr", "1e-4", "--initial-lr", "1e-4"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    fn finish(self) -> Result<Self> {
        let ended = self.command()?.output()?;
        self.succeeded(ended)
    }

    fn resumed(self) -> Result<Self> {
        let ended = self.command()?.arg("--resume").output()?;
        self.succeeded(ended)
    }

    fn succeeded(self, ended: std::process::Output) -> Result<Self> {
        if ended.status.success() {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        bail!("a run in {} failed: {}", self.folder.display(), said.lines().last().unwrap_or(""))
    }

    /// Starts the run, and kills it when its first checkpoint exists.
    fn killed_after_first_epoch(self) -> Result<Self> {
        let mut child = self.command()?.stderr(Stdio::null()).spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while !self.checkpoint(1).is_dir() {
            if Instant::now() > deadline || child.try_wait()?.is_some() {
                let _ = child.kill();
                let _ = child.wait();
                bail!("no checkpoint appeared in {}", self.folder.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill()?;
        child.wait()?;
        Ok(self)
    }

    fn checkpoint(&self, epoch: u32) -> PathBuf {
        self.folder.join(format!("checkpoints/epoch-{epoch:06}"))
    }

    fn last_weights(&self) -> Result<Digest> {
        let file = self.checkpoint(EPOCHS).join("unet/diffusion_pytorch_model.safetensors");
        digest(&file).with_context(|| format!("{}", file.display()))
    }
}

fn digest(file: &Path) -> Result<Digest> {
    Ok(Digest::of(&std::fs::read(file)?))
}
