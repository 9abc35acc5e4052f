//! Starts a service from its command line, up to the running [`Host`].

use crate::descriptors::raise_limit;
use crate::device::{DeviceFailure, quiet_faults};
use crate::host::{Host, HostError};
use crate::memory::keep_freed_memory;
use crate::settings::ServiceSettings;
use clap::Args;
use ddpo_settings::environment::variables;
use ddpo_settings::table::{Flags, SettingsTable};
use ddpo_settings::{Layers, SettingsError, TABLES};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The name, version, ports and conditions of a service's program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// Version of the binary.
    pub version: &'static str,
    /// Name of the service's settings table.
    pub table: &'static str,
    /// Default port of its gRPC services, on loopback.
    pub port: u16,
    /// Default port of its metrics and probes, on loopback.
    pub metrics_port: u16,
    /// Names of the health conditions.
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

/// A service with resolved settings.
#[derive(Debug)]
pub struct Launch {
    program: Program,
    service: ServiceSettings,
    /// All settings.
    pub layers: Layers,
}

/// The `main` of a service: tunes the allocator, raises the limit of open files, runs `start`, and prints an error in one line. The
/// exit status is that of a [`DeviceFailure`] among the causes, otherwise 1.
#[expect(clippy::print_stderr, reason = "the one place where errors reach the user")]
pub fn main<E: AsRef<dyn Error>>(start: impl FnOnce() -> Result<(), E>) -> ExitCode {
    keep_freed_memory();
    raise_limit();
    quiet_faults();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.as_ref();
            eprintln!("error: {}", one_line(error));
            DeviceFailure::status_of(error).into()
        }
    }
}

/// Returns the error and its causes in one line, without repeating a cause that a message already
/// quotes.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line += &format!(": {cause}");
        }
    }
    line
}

impl LaunchFlags {
    /// Adds the table `[service]` and the service's table `T` to `layers`, and applies file, environment
    /// and flags; `service_flags` are the flags of `T`. Returns `None` after a dry run.
    ///
    /// # Errors
    /// [`SettingsError`] names the source, the key and the value.
    pub fn resolve<T: SettingsTable>(
        &self,
        program: &Program,
        layers: Layers,
        service_flags: impl Iterator<Item = (String, String)>,
    ) -> Result<Option<Launch>, SettingsError> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let defaults = ServiceSettings {
            listen: loopback(program.port),
            metrics_listen: loopback(program.metrics_port),
            ..ServiceSettings::default()
        };
        let layers = layers
            .table("service", &defaults)?
            .table(program.table, &T::default())?
            .leave(&TABLES)
            .lay(self.config.as_deref(), variables(), self.service.given().chain(service_flags))?;
        if self.dry_run {
            print(&layers.to_toml()?);
            return Ok(None);
        }
        let service = layers.finish_table("service")?;
        Ok(Some(Launch { program: *program, service, layers }))
    }
}

impl Launch {
    /// Starts the host in a new runtime, and runs `work` on it.
    ///
    /// # Errors
    /// The host cannot start, or `work` fails.
    pub fn run<F, E>(self, work: impl FnOnce(Host) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<HostError> + From<std::io::Error>,
    {
        let Program { name, version, conditions, .. } = self.program;
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
