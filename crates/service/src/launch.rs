//! From a service's command line to its running [`Host`]: what the three `main`s have in common.

use crate::host::{Host, HostError};
use crate::memory::keep_freed_memory;
use crate::settings::ServiceSettings;
use clap::Args;
use ddpo_settings::environment::variables;
use ddpo_settings::table::{Flags, SettingsTable};
use ddpo_settings::{Layers, SettingsError, TABLES};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What tells one service from another.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Name of the binary.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Name of its table of settings.
    pub table: &'static str,
    /// Default port of its gRPC services, on loopback.
    pub port: u16,
    /// Default port of its metrics and probes, on loopback.
    pub metrics_port: u16,
    /// Names of its health conditions.
    pub conditions: &'static [&'static str],
}

/// The flags that all services have.
#[derive(Debug, Args)]
pub struct LaunchFlags {
    /// Settings file (TOML): one for all services
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the resolved settings and exit
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    service: Flags<ServiceSettings>,
}

/// A service whose settings are resolved.
#[derive(Debug)]
pub struct Launch {
    about: About,
    service: ServiceSettings,
    /// All its settings.
    pub layers: Layers,
}

/// All of a service's `main`: tunes the allocator, runs `start`, and says in one line what went
/// wrong.
#[expect(clippy::print_stderr, reason = "the one place where errors reach the user")]
pub fn main<E: Display>(start: impl FnOnce() -> Result<(), E>) -> ExitCode {
    keep_freed_memory();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl LaunchFlags {
    /// Adds the table `[service]` and the service's own table `T` to `layers`, and lays file,
    /// environment and flags over them; `own` are the flags besides these. `None` where the settings
    /// were only to be printed.
    ///
    /// # Errors
    /// [`SettingsError`] names the source, the key and the value.
    pub fn resolve<T: SettingsTable>(
        &self,
        about: &About,
        layers: Layers,
        own: impl Iterator<Item = (String, String)>,
    ) -> Result<Option<Launch>, SettingsError> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let defaults = ServiceSettings {
            listen: loopback(about.port),
            metrics_listen: loopback(about.metrics_port),
            ..ServiceSettings::default()
        };
        let layers = layers
            .table("service", &defaults)?
            .table(about.table, &T::default())?
            .leave(&TABLES)
            .lay(self.config.as_deref(), variables(), self.service.given().chain(own))?;
        if self.dry_run {
            print(&layers.to_toml()?);
            return Ok(None);
        }
        let service = layers.finish_table("service")?;
        Ok(Some(Launch { about: *about, service, layers }))
    }
}

impl Launch {
    /// Starts the host inside a runtime of its own, and has `work` run on it to its end.
    ///
    /// # Errors
    /// What kept the host from starting, or what `work` gives.
    pub fn run<F, E>(self, work: impl FnOnce(Host) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<HostError> + From<std::io::Error>,
    {
        let About { name, version, conditions, .. } = self.about;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let host = Host::start(name, version, self.service, conditions)?;
            work(host).await
        })
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn print(settings: &str) {
    print!("{settings}");
}
