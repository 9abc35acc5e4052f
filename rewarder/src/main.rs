//! `ddpo-rewarder`: parses, loads settings, runs, drains.

use anyhow::Result;
use clap::Parser;
use ddpo_rewarder::service::run::{CONDITIONS, run};
use ddpo_rewarder::service::settings::RewarderSettings;
use ddpo_rewards::{RewardRuntime, Rewards};
use ddpo_rollout::reward::RewardSpec;
use ddpo_service::launch::{self, About, LaunchFlags};
use ddpo_settings::Layers;
use ddpo_settings::table::Flags;
use std::process::ExitCode;

const ABOUT: About = About {
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
    own: Flags<RewarderSettings>,
}

fn main() -> ExitCode {
    launch::main(|| start(&Cli::parse()))
}

/// Opens the reward models; downloads report to the log.
fn open(spec: &RewardSpec, runtime: &RewardRuntime) -> Result<Rewards> {
    Ok(Rewards::open(spec, runtime, &mut |line| tracing::info!("{line}"))?)
}

fn start(cli: &Cli) -> Result<()> {
    let (layers, flags) = (Layers::of_tables(), cli.own.given());
    let resolved = cli.launch.resolve::<RewarderSettings>(&ABOUT, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let own = launch.layers.finish_table(ABOUT.table)?;
    launch.run(|host| run(host, own, open))
}
