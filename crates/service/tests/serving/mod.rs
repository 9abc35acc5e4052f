//! A server with health and reflection that requires the token.

#![allow(dead_code, reason = "each test program uses a part")]

use ddpo_service::auth::{ClientAuth, ServerAuthSettings};
use ddpo_service::connections::ConnectionLimits;
use ddpo_service::health::Health;
use ddpo_service::metrics::Metrics;
use ddpo_service::shutdown::Shutdown;
use ddpo_settings::Secret;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than any step of these tests.
pub const LONG: Duration = Duration::from_secs(20);

/// The right token.
pub const TOKEN: &str = "0123456789abcdef-hush";

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub health: Health,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub ended: tokio::task::JoinHandle<()>,
}

/// Settings of a port on loopback with the right token.
pub fn settings() -> ServerAuthSettings {
    ServerAuthSettings {
        setting: "listen",
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: Some(Secret::new(TOKEN)),
        token_file: None,
        tls_cert: None,
        tls_key: None,
        tls_client_ca: None,
        insecure: false,
    }
}

/// Serves health and reflection.
pub async fn serve(settings: &ServerAuthSettings) -> Running {
    serve_within(settings, ConnectionLimits::default()).await
}

/// Does the same with these limits of connections.
pub async fn serve_within(settings: &ServerAuthSettings, limits: ConnectionLimits) -> Running {
    ddpo_service::auth::install_crypto_provider();
    let (metrics, shutdown) = (Metrics::new().unwrap(), Shutdown::new());
    let health = Health::new(&["weights"]);
    let auth = settings.open().unwrap().counted(&metrics);
    let incoming = auth.bind(limits).await.unwrap();
    let address = incoming.local_addr();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let router = auth
        .server()
        .unwrap()
        .add_service(health.grpc(&["ddpo.v1.Trajectories"]))
        .add_service(reflection);
    let stop = shutdown.wait();
    let ended = tokio::spawn(async move {
        router.serve_with_incoming_shutdown(incoming, stop).await.unwrap();
    });
    Running { address, health, metrics, shutdown, ended }
}

/// Sends one health check for `service`.
pub async fn check(
    key: &ClientAuth,
    address: &str,
    service: &str,
) -> Result<ServingStatus, Status> {
    let mut client = HealthClient::new(key.channel(address).unwrap());
    let request = HealthCheckRequest { service: service.into() };
    let answer = tokio::time::timeout(LONG, client.check(request)).await.unwrap()?;
    Ok(answer.into_inner().status())
}
