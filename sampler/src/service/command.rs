//! The command line of `ddpo-sampler`: parses, loads settings, runs, drains.

use crate::service::run::{CONDITIONS, OpenBackend, run};
use crate::service::settings::SamplerSettings;
use anyhow::Result;
use clap::Parser;
use ddpo_service::launch::{self, LaunchFlags, Program};
use ddpo_settings::Layers;
use ddpo_settings::table::Flags;
use std::process::ExitCode;
use std::sync::Arc;

const PROGRAM: Program = Program {
    name: "ddpo-sampler",
    version: env!("CARGO_PKG_VERSION"),
    table: "sampler",
    port: 50051,
    metrics_port: 9464,
    conditions: &CONDITIONS,
};

/// Draws denoising trajectories for a learner and streams them to rewarders
#[derive(Debug, Parser)]
#[command(name = "ddpo-sampler", version)]
struct Cli {
    #[command(flatten)]
    launch: LaunchFlags,
    #[command(flatten)]
    sampler_settings: Flags<SamplerSettings>,
}

/// Runs the service as a program; `open` opens the backend of each run.
pub fn main(open: Arc<OpenBackend>) -> ExitCode {
    launch::main(|| start(&Cli::parse(), open))
}

fn start(cli: &Cli, open: Arc<OpenBackend>) -> Result<()> {
    let (layers, flags) = (Layers::of_tables(), cli.sampler_settings.given());
    let resolved = cli.launch.resolve::<SamplerSettings>(&PROGRAM, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let sampler_settings = launch.layers.finish_table(PROGRAM.table)?;
    launch.run(|host| run(host, sampler_settings, open))
}
