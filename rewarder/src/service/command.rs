//! The command line of `ddpo-rewarder`: parses, loads settings, runs, drains.

use crate::service::run::{CONDITIONS, run};
use crate::service::scoring::OpenRewards;
use crate::service::settings::RewarderSettings;
use anyhow::Result;
use clap::Parser;
use ddpo_service::launch::{self, LaunchFlags, Program};
use ddpo_settings::Layers;
use ddpo_settings::table::Flags;
use std::process::ExitCode;
use std::sync::Arc;

const PROGRAM: Program = Program {
    name: "ddpo-rewarder",
    version: env!("CARGO_PKG_VERSION"),
    table: "rewarder",
    port: 50052,
    metrics_port: 9465,
    conditions: &CONDITIONS,
};

/// Scores the images of trajectories and passes them on to the learner
#[derive(Debug, Parser)]
#[command(name = "ddpo-rewarder", version)]
struct Cli {
    #[command(flatten)]
    launch: LaunchFlags,
    #[command(flatten)]
    rewarder_settings: Flags<RewarderSettings>,
}

/// Runs the service as a program; `open` opens the models of a specification.
pub fn main(open: Arc<OpenRewards>) -> ExitCode {
    launch::main(|| start(&Cli::parse(), open))
}

fn start(cli: &Cli, open: Arc<OpenRewards>) -> Result<()> {
    let (layers, flags) = (Layers::of_tables(), cli.rewarder_settings.given());
    let resolved = cli.launch.resolve::<RewarderSettings>(&PROGRAM, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let rewarder_settings = launch.layers.finish_table(PROGRAM.table)?;
    launch.run(|host| run(host, rewarder_settings, open))
}
