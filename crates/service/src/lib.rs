//! What every binary shares: settings in layers, and the allocator's tuning; for the services on
//! the network (feature `grpc`) also telemetry, metrics, health, auth and TLS, and shutdown.
//!
//! A service's `main`, from its flags to its last word:
//!
//! ```no_run
//! use clap::Parser;
//! use ddpo_service::doors::{ClientDoor, DoorSettings, install_crypto_provider};
//! use ddpo_service::settings::table::Flags;
//! use ddpo_service::settings::{Layers, ServiceSettings, TABLES, environment};
//! use ddpo_service::shutdown::{Drain, Shutdown};
//! use ddpo_service::telemetry::{Telemetry, TelemetrySettings};
//! use ddpo_service::{health::Health, identity::Worker, metrics::Metrics, status::StatusServer};
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
//! #[derive(Parser)]
//! struct Cli {
//!     /// Settings file (TOML)
//!     #[arg(long)]
//!     config: Option<std::path::PathBuf>,
//!     #[command(flatten)]
//!     service: Flags<ServiceSettings>,
//!     #[command(flatten)]
//!     rewarder: Flags<RewarderSettings>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     install_crypto_provider();
//!     let cli = Cli::parse();
//!     let layers = Layers::of_tables()
//!         .table("service", &ServiceSettings::default())?
//!         .table("rewarder", &RewarderSettings::default())?
//!         .leave(&TABLES)
//!         .lay(
//!             cli.config.as_deref(),
//!             environment::variables(),
//!             cli.service.given().chain(cli.rewarder.given()),
//!         )?;
//!     let settings: ServiceSettings = layers.finish_table("service")?;
//!     let own: RewarderSettings = layers.finish_table("rewarder")?;
//!     let worker = Worker::new(settings.worker_id.as_deref())?;
//!     let metrics = Metrics::new()?;
//!     let version = env!("CARGO_PKG_VERSION");
//!     let telemetry = TelemetrySettings::new("ddpo-rewarder", version, &settings, &worker);
//!     let telemetry = Telemetry::start(&telemetry, &metrics)?;
//!     let shutdown = Shutdown::on_signals()?;
//!     let health = Health::new(&["model", "learner"]);
//!     let door = DoorSettings::from(&settings).open()?.counted(&metrics);
//!     let _learner = ClientDoor::from(&settings).open()?.channel(&own.learner)?;
//!     let status =
//!         StatusServer::bind(settings.metrics_listen, metrics.clone(), health.clone()).await?;
//!     let ended = Shutdown::new();
//!     let status = tokio::spawn(status.serve(ended.wait()));
//!     let incoming = door.bind().await?;
//!     let stop = shutdown.wait();
//!     let router = door.server()?.add_service(health.grpc(&["ddpo.v1.Trajectories"]));
//!     let serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stop));
//!     health.met("model", "loaded");
//!
//!     shutdown.wait().await;
//!     health.drain();
//!     let drained = Drain::new()
//!         .part("grpc", async { drop(serving.await) })
//!         .run(settings.grace_period())
//!         .await;
//!     ended.request();
//!     status.await?;
//!     telemetry.shutdown(std::time::Duration::from_secs(3)).await;
//!     Ok(drained?)
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
pub mod metrics;
#[cfg(feature = "grpc")]
pub mod shutdown;
#[cfg(feature = "grpc")]
pub mod status;
#[cfg(feature = "grpc")]
pub mod telemetry;
