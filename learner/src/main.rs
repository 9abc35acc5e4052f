//! `ddpo-learner`: parses, loads settings, runs, drains.

use anyhow::Result;
use clap::Parser;
use ddpo_learner::service::run::{CONDITIONS, run};
use ddpo_learner::service::settings::LearnerSettings;
use ddpo_run::settings::{self, SettingFlags};
use ddpo_service::launch::{self, About, LaunchFlags};
use ddpo_settings::table::Flags;
use std::process::ExitCode;

const ABOUT: About = About {
    name: "ddpo-learner",
    version: env!("CARGO_PKG_VERSION"),
    table: "learner",
    port: 50053,
    metrics_port: 9466,
    conditions: &CONDITIONS,
};

/// Trains on scored trajectories, orders the next, and publishes the weights
#[derive(Debug, Parser)]
#[command(name = "ddpo-learner", version)]
struct Cli {
    #[command(flatten)]
    launch: LaunchFlags,
    #[command(flatten)]
    own: Flags<LearnerSettings>,
    #[command(flatten)]
    run: SettingFlags,
}

fn main() -> ExitCode {
    launch::main(|| start(&Cli::parse()))
}

fn start(cli: &Cli) -> Result<()> {
    let (layers, flags) = (settings::layers()?, cli.own.given().chain(cli.run.given()));
    let resolved = cli.launch.resolve::<LearnerSettings>(&ABOUT, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let own = launch.layers.finish_table(ABOUT.table)?;
    let asked = settings::of_layers(&launch.layers);
    launch.run(|host| async move { run(host, own, asked?).await })
}
