//! A service's gRPC port: health, reflection, the inspector, and what the service has of its own.

use crate::board::Board;
use crate::export::export;
use crate::reflection;
use crate::service::InspectorService;
use crate::status::StatusSource;
use ddpo_service::auth::AuthError;
use ddpo_service::host::{Host, HostError};
use std::sync::Arc;
use thiserror::Error;
use tonic::service::RoutesBuilder;

/// Why a service cannot be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A port that cannot be had.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its certificate.
    #[error(transparent)]
    Door(#[from] AuthError),
    /// The descriptors that were compiled in: an error of the program.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Opens the host's ports and serves until it closes: `own`, and beside it health under `names`,
/// reflection, and the inspector with `board` and `source`, whose counters become metrics.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    host: &Host,
    board: &Board,
    source: impl StatusSource,
    names: &[&str],
    mut own: RoutesBuilder,
) -> Result<(), ServeError> {
    let source: Arc<dyn StatusSource> = Arc::new(source);
    let (metrics, health) = (host.metrics.clone(), host.health.clone());
    tokio::spawn(export(metrics, health, board.clone(), Arc::clone(&source)));
    let incoming = host.open().await?;
    let (v1, v1alpha) = reflection::services()?;
    own.add_service(host.health.grpc(names));
    own.add_service(v1);
    own.add_service(v1alpha);
    own.add_service(InspectorService::server(board.clone(), source));
    let router = host.server_auth.server()?.add_routes(own.routes());
    let closing = host.closing.clone().cancelled_owned();
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
    Ok(())
}
