//! `ddpo-sampler`: parses, loads settings, runs, drains.

use anyhow::Result;
use clap::Parser;
use ddpo_sampler::service::run::{CONDITIONS, run};
use ddpo_sampler::service::settings::SamplerSettings;
use ddpo_service::host::Host;
use ddpo_service::settings::environment::variables;
use ddpo_service::settings::table::Flags;
use ddpo_service::settings::{Layers, ServiceSettings};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Draws denoising trajectories for a learner and streams them to rewarders
#[derive(Debug, Parser)]
#[command(name = "ddpo-sampler", version)]
struct Cli {
    /// Settings file (TOML): one for all services
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the resolved settings and exit
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    service: Flags<ServiceSettings>,
    #[command(flatten)]
    own: Flags<SamplerSettings>,
}

fn main() -> ExitCode {
    ddpo_service::memory::keep_freed_memory();
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn start(cli: &Cli) -> Result<()> {
    let defaults = ServiceSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
        metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        ..ServiceSettings::default()
    };
    let flags = cli.service.given().chain(cli.own.given());
    let layers = Layers::of_tables()
        .table("service", &defaults)?
        .table("sampler", &SamplerSettings::default())?
        .leave(&["rewarder", "learner"])
        .lay(cli.config.as_deref(), variables(), flags)?;
    if cli.dry_run {
        return print(&layers.to_toml()?);
    }
    let (service, own) = (layers.finish_table("service")?, layers.finish_table("sampler")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let host = Host::start("ddpo-sampler", env!("CARGO_PKG_VERSION"), service, &CONDITIONS)?;
        run(host, own).await
    })
}

#[expect(clippy::print_stdout, clippy::unnecessary_wraps, reason = "the command's answer")]
fn print(settings: &str) -> Result<()> {
    print!("{settings}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the one place where errors reach the user")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
