//! What every binary shares: settings in layers, and the allocator's tuning; for the services on
//! the network (feature `grpc`) also telemetry, metrics, health, auth and TLS, and shutdown.
//!
//! A service's `main`, from its flags to its last word:
//!
//! ```no_run
//! use clap::Parser;
//! use ddpo_service::host::Host;
//! use ddpo_service::launch::{self, About, LaunchFlags};
//! use ddpo_service::settings::table::Flags;
//! use ddpo_service::settings::Layers;
//! use std::process::ExitCode;
//!
//! ddpo_service::settings! {
//!     /// What the rewarder alone has.
//!     pub struct RewarderSettings;
//!     values {
//!         /// Address of the learner
//!         learner: String = "http://127.0.0.1:50053".into();
//!     }
//! }
//!
//! const ABOUT: About = About {
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
//!     own: Flags<RewarderSettings>,
//! }
//!
//! fn main() -> ExitCode {
//!     launch::main(|| start(&Cli::parse()))
//! }
//!
//! fn start(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
//!     let (layers, own) = (Layers::of_tables(), cli.own.given());
//!     let resolved = cli.launch.resolve::<RewarderSettings>(&ABOUT, layers, own)?;
//!     let Some(launch) = resolved else { return Ok(()) };
//!     let own: RewarderSettings = launch.layers.finish_table("rewarder")?;
//!     launch.run(|host| run(host, own))
//! }
//!
//! async fn run(host: Host, own: RewarderSettings) -> Result<(), Box<dyn std::error::Error>> {
//!     let _learner = host.key.channel(&own.learner)?;
//!     let incoming = host.open().await?;
//!     let router = host.door.server()?.add_service(host.health.grpc(&["ddpo.v1.Trajectories"]));
//!     let closing = host.closing.clone().cancelled_owned();
//!     tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
//!     host.health.met("model", "loaded");
//!     host.shutdown.wait().await;
//!     host.health.drain();
//!     host.close().await;
//!     Ok(())
//! }
//! ```

// The macro `settings!` names this crate by its name, here too.
extern crate self as ddpo_service;

pub mod identity;
pub mod memory;
pub mod settings;

#[cfg(feature = "grpc")]
pub mod doors;
#[cfg(feature = "grpc")]
pub mod health;
#[cfg(feature = "grpc")]
pub mod host;
#[cfg(feature = "grpc")]
pub mod http;
#[cfg(feature = "grpc")]
pub mod launch;
#[cfg(feature = "grpc")]
pub mod metrics;
#[cfg(feature = "grpc")]
pub mod shutdown;
#[cfg(feature = "grpc")]
pub mod status;
#[cfg(feature = "grpc")]
pub mod telemetry;
