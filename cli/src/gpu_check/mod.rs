//! `ddpo gpu-check`: whether this machine's device gives correct and bit-identical results, and how
//! fast it is. Needs only the released binary.

pub mod arguments;
mod budget;
mod faults;
mod findings;
mod network;
mod page;
mod parity;
mod peer;
mod repeat;
mod rewards;
mod speed;
mod switches;
mod weights;

use crate::doctor;
use crate::output::{aside, say};
use anyhow::{Context, Result};
use arguments::GpuCheckCommand;
use budget::Budget;
use ddpo_diffusion::device;
use ddpo_files::{WriteFileError, write_file};
use ddpo_rollout::numerics::Numerics;
use findings::{Check, Findings};
use std::process::ExitCode;
use std::time::Instant;
use tch::Device;

/// Runs checks of one kind.
type Checks<'a> = dyn Fn() -> Result<Vec<Check>> + 'a;

/// Adds measurements of one kind.
type Measure<'a> = dyn Fn(&mut Findings) -> Result<()> + 'a;

/// Runs the command: all checks, one JSON file and one page. Fails if a check fails.
pub fn run(command: &GpuCheckCommand) -> Result<ExitCode> {
    std::fs::create_dir_all(&command.out)
        .with_context(|| format!("could not create {}", command.out.display()))?;
    let start = Instant::now();
    let device = device::open(&command.device, Numerics::default())?;
    device::set_threads(command.threads)?;
    let described = device::describe(&command.device, device);
    aside(&format!("device: {described}"));
    let mut findings = Findings::new(described, doctor::look(&command.device, &command.out)?);
    correctness(command, device, &mut findings);
    speeds(device, &Budget::of(command.minutes), &mut findings);
    findings.seconds = start.elapsed().as_secs_f64();
    write(command, &findings)?;
    say(&format!("{}", command.out.join("gpu-check.json").display()));
    let failed: Vec<&str> = findings.failed().collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    aside(&format!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Runs each kind of check separately: one that cannot run counts as failed, and the others
/// continue.
fn correctness(command: &GpuCheckCommand, device: Device, findings: &mut Findings) {
    // The checked network is too small to gain from several threads.
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let kinds: [(&str, &Checks<'_>); 5] = [
        ("switches", &switches::checks),
        ("parity", &|| parity::checks(device)),
        ("repeat", &|| repeat::checks(command, device.is_cuda())),
        ("weights", &|| weights::checks(device)),
        ("faults", &|| faults::checks(device)),
    ];
    for (kind, checks) in kinds {
        aside(&format!("checking: {kind}"));
        match network::guarded(checks) {
            Ok(checks) => findings.checks.extend(checks),
            Err(error) => findings.checks.push(Check::failed(kind, &error.to_string())),
        }
    }
    tch::set_num_threads(threads);
}

fn speeds(device: Device, budget: &Budget, findings: &mut Findings) {
    let kinds: [(&str, &Measure<'_>); 3] = [
        ("networks", &|findings| speed::measure(device, budget, findings)),
        ("rewards", &|findings| rewards::measure(device, budget, findings)),
        ("PyTorch", &|findings| peer::measure(device, budget, findings)),
    ];
    for (kind, measure) in kinds {
        aside(&format!("measuring: {kind}"));
        if let Err(error) = network::guarded(|| measure(findings)) {
            findings.notes.push(format!("{kind}: {error}"));
        }
    }
}

fn write(command: &GpuCheckCommand, findings: &Findings) -> Result<(), anyhow::Error> {
    let json = serde_json::to_string_pretty(findings)? + "\n";
    let write = |name: &str, text: &str| -> Result<(), WriteFileError> {
        write_file(&command.out.join(name), text.as_bytes())
    };
    write("gpu-check.json", &json)?;
    write("index.html", &page::html(findings)?)?;
    Ok(())
}
