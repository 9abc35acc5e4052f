//! What every service's `main` sets up before its own work, and takes down after it.

use crate::doors::{ClientDoor, Door, DoorError, DoorSettings, Key, install_crypto_provider};
use crate::health::Health;
use crate::identity::{Worker, WorkerIdError};
use crate::metrics::Metrics;
use crate::settings::ServiceSettings;
use crate::shutdown::Shutdown;
use crate::status::{StatusError, StatusServer};
use crate::telemetry::{Telemetry, TelemetryError, TelemetrySettings};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

/// Longest time that the last spans and metrics may take to be sent.
const FLUSH: Duration = Duration::from_secs(3);

/// A service's surroundings.
#[derive(Debug)]
pub struct Host {
    /// The table `[service]`.
    pub settings: ServiceSettings,
    /// Who this process is.
    pub worker: Worker,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its health.
    pub health: Health,
    /// Whether it has been asked to stop.
    pub shutdown: Shutdown,
    /// Who may come in.
    pub door: Door,
    /// What opens the other services' doors.
    pub key: Key,
    /// Cancelled when nothing is to be served any more.
    pub closing: CancellationToken,
    telemetry: Telemetry,
}

/// Why a service cannot start.
#[derive(Debug, Error)]
pub enum HostError {
    /// Its name.
    #[error(transparent)]
    Worker(#[from] WorkerIdError),
    /// Its logs and traces.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Its own door, or its key to others.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The address of its metrics.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Host {
    /// Starts logs, metrics, health and the handling of signals; opens no port yet. Called inside
    /// the tokio runtime.
    ///
    /// # Errors
    /// [`HostError`] names what is wrong.
    pub fn start(
        service: &'static str,
        version: &'static str,
        settings: ServiceSettings,
        conditions: &[&'static str],
    ) -> Result<Self, HostError> {
        install_crypto_provider();
        let worker = Worker::new(settings.worker_id.as_deref())?;
        let about = TelemetrySettings::new(service, version, &settings, &worker);
        let telemetry = Telemetry::start(&about)?;
        let metrics = telemetry.metrics.clone();
        let door = DoorSettings::from(&settings).open()?.counted(&metrics);
        let key = ClientDoor::from(&settings).open()?;
        let (health, shutdown) = (Health::new(conditions), Shutdown::on_signals()?);
        let closing = CancellationToken::new();
        Ok(Self { settings, worker, metrics, health, shutdown, door, key, closing, telemetry })
    }

    /// Opens both ports: the gRPC one, for the caller to serve, and that of metrics and probes, which
    /// is served from here on. Logs both addresses.
    ///
    /// # Errors
    /// A port that cannot be had.
    pub async fn open(&self) -> Result<TcpIncoming, HostError> {
        let incoming = self.door.bind().await?;
        let address = incoming.local_addr()?;
        let metrics = self.settings.metrics_listen;
        let status = StatusServer::bind(metrics, self.metrics.clone(), self.health.clone()).await?;
        let metrics = status.address()?;
        tokio::spawn(status.serve(self.closing.clone().cancelled_owned()));
        let (worker, run) = (&self.worker.id, &self.settings.run_id);
        tracing::info!(%address, %metrics, tls = self.door.has_tls(), worker, run, "listening");
        Ok(incoming)
    }

    /// Closes the ports and sends what telemetry is left.
    pub async fn close(self) {
        self.closing.cancel();
        self.telemetry.shutdown(FLUSH).await;
    }
}
