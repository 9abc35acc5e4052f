//! Shared frame of the three services: telemetry, metrics, health, auth and TLS, shutdown, device
//! failures, and tuning of the allocator.
//!
//! A service's `main`:
//!
//! ```no_run
//! use clap::Parser;
//! use ddpo_service::host::Host;
//! use ddpo_service::launch::{self, Program, LaunchFlags};
//! use ddpo_settings::table::Flags;
//! use ddpo_settings::Layers;
//! use std::process::ExitCode;
//!
//! ddpo_settings::settings! {
//!     /// Settings of the rewarder.
//!     pub struct RewarderSettings;
//!     values {
//!         /// Address of the learner
//!         learner: String = "http://127.0.0.1:50053".into();
//!     }
//! }
//!
//! const PROGRAM: Program = Program {
//!     name: "ddpo-rewarder",
//!     version: env!("CARGO_PKG_VERSION"),
//!     table: "rewarder",
//!     port: 50052,
//!     metrics_port: 9465,
//!     conditions: &["model", "learner"],
//! };
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     launch: LaunchFlags,
//!     #[command(flatten)]
//!     rewarder_settings: Flags<RewarderSettings>,
//! }
//!
//! fn main() -> ExitCode {
//!     launch::main(|| start(&Cli::parse()))
//! }
//!
//! fn start(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
//!     let (layers, flags) = (Layers::of_tables(), cli.rewarder_settings.given());
//!     let resolved = cli.launch.resolve::<RewarderSettings>(&PROGRAM, layers, flags)?;
//!     let Some(launch) = resolved else { return Ok(()) };
//!     let settings: RewarderSettings = launch.layers.finish_table("rewarder")?;
//!     launch.run(|host| run(host, settings))
//! }
//!
//! async fn run(host: Host, settings: RewarderSettings) -> Result<(), Box<dyn std::error::Error>> {
//!     let _learner = host.client_auth.channel(&settings.learner)?;
//!     let incoming = host.open().await?;
//!     let router = host.server_auth.server()?.add_service(host.health.grpc(&["ddpo.v1.Trajectories"]));
//!     let closing = host.closing.clone().cancelled_owned();
//!     tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
//!     host.health.met("model", "loaded");
//!     host.shutdown.wait().await;
//!     host.health.drain();
//!     host.close().await;
//!     Ok(())
//! }
//! ```

pub mod auth;
pub mod connections;
pub mod counts;
pub mod descriptors;
pub mod device;
mod export;
pub mod health;
pub mod host;
pub mod http;
pub mod identity;
pub mod inspector;
pub mod intake;
pub mod launch;
pub mod link;
pub mod memory;
pub mod metrics;
mod reflection;
pub mod serve;
pub mod settings;
pub mod shutdown;
pub mod status;
pub mod telemetry;
