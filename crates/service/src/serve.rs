//! The gRPC port of a service: health, reflection, the Inspector, and the service's own methods.

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
    /// An address cannot be listened on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The descriptors that were compiled in cannot be read: a programming error.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Opens the host's ports and serves until it closes: `own`, health under `names`, reflection, and the
/// Inspector with `board` and `source`, whose counters become metrics.
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
