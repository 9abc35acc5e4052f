//! The gRPC port of a service: health, reflection, the Inspector, and the service's methods.

use crate::auth::AuthError;
use crate::export::export;
use crate::host::{Host, HostError};
use crate::inspector::{InspectorService, StatusSource};
use crate::reflection;
use ddpo_inspector::board::Board;
use std::sync::Arc;
use thiserror::Error;
use tonic::service::RoutesBuilder;

/// Errors from serving a service.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A port cannot be opened.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The certificate is not valid.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The compiled-in descriptors are not readable: a programming error.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Opens the host's ports and serves until it closes: `routes`, health under `names`, reflection,
/// and the Inspector with `board` and `source`. Exports the counters of `source` as metrics.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    host: &Host,
    board: &Board,
    source: impl StatusSource,
    names: &[&str],
    mut routes: RoutesBuilder,
) -> Result<(), ServeError> {
    let source: Arc<dyn StatusSource> = Arc::new(source);
    let (metrics, health) = (host.metrics.clone(), host.health.clone());
    tokio::spawn(export(metrics, health, board.clone(), Arc::clone(&source)));
    let incoming = host.open().await?;
    let (v1, v1alpha) = reflection::services()?;
    routes.add_service(host.health.grpc(names));
    routes.add_service(v1);
    routes.add_service(v1alpha);
    routes.add_service(InspectorService::server(board.clone(), source));
    let router = host.server_auth.server()?.add_routes(routes.routes());
    let closing = host.closing.clone().cancelled_owned();
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing));
    Ok(())
}
