//! The command line of `ddpo-learner`: parses, loads settings, runs, drains.

use crate::service::run::{CONDITIONS, TrainingThread, run};
use crate::service::settings::LearnerSettings;
use anyhow::Result;
use clap::Parser;
use ddpo_run::settings::{self, SettingFlags};
use ddpo_service::launch::{self, LaunchFlags, Program};
use ddpo_settings::table::Flags;
use std::process::ExitCode;

const PROGRAM: Program = Program {
    name: "ddpo-learner",
    version: env!("CARGO_PKG_VERSION"),
    table: "learner",
    port: 50053,
    metrics_port: 9466,
    conditions: &CONDITIONS,
};

/// Trains on scored trajectories, orders the next batch, and publishes the weights
#[derive(Debug, Parser)]
#[command(name = "ddpo-learner", version)]
struct Cli {
    #[command(flatten)]
    launch: LaunchFlags,
    #[command(flatten)]
    learner_settings: Flags<LearnerSettings>,
    #[command(flatten)]
    run: SettingFlags,
}

/// Runs the service as a program; `work` runs on the training thread.
pub fn main<W>(work: W) -> ExitCode
where
    W: FnOnce(&TrainingThread) -> Result<()> + Send + 'static,
{
    launch::main(|| start(&Cli::parse(), work))
}

fn start<W>(cli: &Cli, work: W) -> Result<()>
where
    W: FnOnce(&TrainingThread) -> Result<()> + Send + 'static,
{
    let (layers, flags) =
        (settings::layers()?, cli.learner_settings.given().chain(cli.run.given()));
    let resolved = cli.launch.resolve::<LearnerSettings>(&PROGRAM, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let learner_settings = launch.layers.finish_table(PROGRAM.table)?;
    let asked = settings::of_layers(&launch.layers);
    launch.run(|host| async move { run(host, learner_settings, asked?, work).await })
}
