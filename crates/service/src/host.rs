//! The common frame of a service: starts it before its work and closes it afterwards.

use crate::auth::{
    AuthError, ClientAuth, ClientAuthSettings, ServerAuth, ServerAuthSettings,
    install_crypto_provider,
};
use crate::connections::{ConnectionLimits, Connections};
use crate::health::Health;
use crate::identity::{Worker, WorkerIdError};
use crate::inspector::ServiceInfo;
use crate::metrics::Metrics;
use crate::settings::ServiceSettings;
use crate::shutdown::Shutdown;
use crate::status::{StatusError, StatusServer};
use crate::telemetry::{Telemetry, TelemetryError, TelemetrySettings};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Longest time for the last export of spans and metrics.
const FLUSH: Duration = Duration::from_secs(3);

/// The parts of a running service.
#[derive(Debug)]
pub struct Host {
    /// The table `[service]`.
    pub settings: ServiceSettings,
    /// Identity of this process.
    pub worker: Worker,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its health.
    pub health: Health,
    /// The shutdown request.
    pub shutdown: Shutdown,
    /// Authentication of callers.
    pub server_auth: ServerAuth,
    /// Credentials for the other services.
    pub client_auth: ClientAuth,
    /// Cancelled when the ports close.
    pub closing: CancellationToken,
    telemetry: Telemetry,
}

/// Errors from starting a service.
#[derive(Debug, Error)]
pub enum HostError {
    /// The worker id is invalid.
    #[error(transparent)]
    Worker(#[from] WorkerIdError),
    /// Telemetry cannot start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A token or a certificate is not valid.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The port of the metrics cannot be opened.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The system reports an error.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Host {
    /// Starts logs, metrics, health and signal handling, without opening a port. Call it inside the
    /// tokio runtime.
    ///
    /// # Errors
    /// [`HostError`] names the invalid setting or the failed part.
    pub fn start(
        service: &'static str,
        version: &'static str,
        settings: ServiceSettings,
        conditions: &[&'static str],
    ) -> Result<Self, HostError> {
        install_crypto_provider();
        let worker = Worker::new(settings.worker_id.as_deref())?;
        let telemetry = TelemetrySettings::new(service, version, &settings, &worker);
        let telemetry = Telemetry::start(&telemetry)?;
        let metrics = telemetry.metrics.clone();
        let server_auth = ServerAuthSettings::from(&settings).open()?.counted(&metrics);
        let client_auth = ClientAuthSettings::from(&settings).open()?;
        let (health, shutdown) = (Health::new(conditions), Shutdown::on_signals()?);
        let closing = CancellationToken::new();
        Ok(Self {
            settings,
            worker,
            metrics,
            health,
            shutdown,
            server_auth,
            client_auth,
            closing,
            telemetry,
        })
    }

    /// Opens the gRPC port for the caller to serve. Opens and serves the port of metrics and
    /// probes. Logs both addresses.
    ///
    /// # Errors
    /// A port cannot be opened.
    pub async fn open(&self) -> Result<Connections, HostError> {
        let connections = self.settings.max_connections;
        let limits = ConnectionLimits { connections, ..ConnectionLimits::default() };
        let incoming = self.server_auth.bind(limits).await?;
        let address = incoming.local_addr();
        let metrics = self.settings.metrics_listen;
        let status = StatusServer::bind(metrics, self.metrics.clone(), self.health.clone()).await?;
        let metrics = status.address()?;
        tokio::spawn(status.serve(self.closing.clone().cancelled_owned()));
        let (worker, run) = (&self.worker.id, &self.settings.run_id);
        tracing::info!(%address, %metrics, tls = self.server_auth.has_tls(), worker, run, "listening");
        Ok(incoming)
    }

    /// Returns the part of the status that all services have.
    pub fn info(&self) -> ServiceInfo {
        let (worker, run) = (self.worker.clone(), self.settings.run_id.clone());
        ServiceInfo::new(worker, run, self.health.clone())
    }

    /// Closes the ports and flushes telemetry.
    pub async fn close(self) {
        self.closing.cancel();
        self.telemetry.shutdown(FLUSH).await;
    }
}
