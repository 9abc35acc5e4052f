//! `ddpo-sampler`: parses, loads settings, runs, drains.

use anyhow::Result;
use clap::Parser;
use ddpo_sampler::service::run::{CONDITIONS, run};
use ddpo_sampler::service::settings::SamplerSettings;
use ddpo_service::launch::{self, About, LaunchFlags};
use ddpo_settings::Layers;
use ddpo_settings::table::Flags;
use std::process::ExitCode;

const ABOUT: About = About {
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
    own: Flags<SamplerSettings>,
}

fn main() -> ExitCode {
    launch::main(|| start(&Cli::parse()))
}

fn start(cli: &Cli) -> Result<()> {
    let (layers, flags) = (Layers::of_tables(), cli.own.given());
    let resolved = cli.launch.resolve::<SamplerSettings>(&ABOUT, layers, flags)?;
    let Some(launch) = resolved else { return Ok(()) };
    let own = launch.layers.finish_table(ABOUT.table)?;
    launch.run(|host| run(host, own))
}
