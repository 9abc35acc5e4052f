//! gRPC reflection of the contract, in both versions of the protocol.

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha::{
    ServerReflection as AlphaReflection, ServerReflectionServer as AlphaReflectionServer,
};
use tonic_reflection::server::{Builder, Error};

/// Returns both versions, `v1` and `v1alpha`, for new and old clients.
///
/// # Errors
/// The compiled-in descriptors are not readable: a programming error.
pub fn services() -> Result<
    (ServerReflectionServer<impl ServerReflection>, AlphaReflectionServer<impl AlphaReflection>),
    Error,
> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(ddpo_proto::wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}
