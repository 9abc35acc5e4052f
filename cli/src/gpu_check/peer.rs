//! Measures the same passes in PyTorch, if diffusers is installed.

use super::budget::Budget;
use super::findings::{Findings, Speed};
use super::network;
use super::speed::arithmetics;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tch::Device;

const SCRIPT: &str = include_str!("peer.py");

/// The script's output for one measurement.
#[derive(Deserialize)]
struct Answer {
    program: String,
    arithmetic: String,
    batch: i64,
    training: bool,
    seconds: Option<f64>,
    range: Option<[f64; 2]>,
    #[serde(default)]
    passes: usize,
    failure: Option<String>,
}

pub fn measure(device: Device, budget: &Budget, findings: &mut Findings) -> Result<()> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if let Some(reason) = missing(&python) {
        findings.notes.push(format!("not compared with PyTorch: {reason}"));
        return Ok(());
    }
    let Device::Cuda(index) = device else {
        findings.notes.push("not compared with PyTorch: `make bench` compares on a CPU".into());
        return Ok(());
    };
    let asked = json!({
        "device": format!("cuda:{index}"),
        "config": serde_json::from_str::<serde_json::Value>(network::CELEBAHQ_256)?,
        "arithmetics": arithmetics(device).iter().map(|one| one.name).collect::<Vec<_>>(),
        "batches": [1, 16, 64],
        "seconds": budget.of_one().as_secs_f64(),
        "compile": true,
    });
    let answers = answers(&python, &asked.to_string(), budget)?;
    for line in answers.lines() {
        let answer: Answer = serde_json::from_str(line).context("an answer of the script")?;
        findings.add(speed(answer));
    }
    Ok(())
}

/// Returns why Python cannot run the script.
fn missing(python: &str) -> Option<String> {
    let ended = Command::new(python).args(["-c", "import torch, diffusers"]).output();
    match ended {
        Ok(ended) if ended.status.success() => None,
        Ok(_) => Some(format!("{python} has no torch and diffusers; hint: set PYTHON")),
        Err(error) => Some(format!("{python}: {error}")),
    }
}

/// Runs the script for at most the remaining budget plus three minutes for compiling.
fn answers(python: &str, asked: &str, budget: &Budget) -> Result<String> {
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().context("its input")?.write_all(asked.as_bytes())?;
    let mut stdout = child.stdout.take().context("its output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout));
    let deadline = Instant::now() + Duration::from_secs(180);
    while child.try_wait()?.is_none() {
        if budget.is_spent() && Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    match reader.join() {
        Ok(text) => Ok(text?),
        Err(_) => bail!("could not read the script's output"),
    }
}

fn speed(answer: Answer) -> Speed {
    let program = if answer.program == "pytorch" { "pytorch" } else { "pytorch_compiled" };
    Speed {
        program,
        network: "celebahq-256".into(),
        pass: if answer.training { "training" } else { "forward" }.into(),
        arithmetic: answer.arithmetic,
        layout: "channels_last".into(),
        batch: answer.batch,
        milliseconds: answer.seconds.map(|seconds| seconds * 1e3),
        range: answer.range.map(|range| range.map(|seconds| seconds * 1e3)),
        passes: answer.passes,
        images_per_second: answer.seconds.map(|seconds| answer.batch as f64 / seconds),
        failure: answer.failure,
        ..Speed::default()
    }
}
