//! The contract `ddpo.v1`: generated messages and their conversions to the domain, without libtorch
//! and without a network connection.
//!
//! - [`convert`]: conversions between wire and domain. [`malformed`] has an error for each
//!   malformed message.
//! - [`limits`]: bounds on the size of every message.
//! - [`stream`], [`reward`]: the domain's side of the messages that `ddpo-rollout` does not define.
//! - [`wire`]: the generated types.

pub mod convert;
pub mod limits;
pub mod malformed;
pub mod reward;
pub mod stream;

/// Generated from `ddpo/v1/*.proto` by `cargo run -p ddpo-proto --example generate`. Only the
/// conversions and tonic's service traits use these types.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod wire {
    include!("generated/ddpo.v1.rs");

    /// The encoded `FileDescriptorSet` of the contract, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/ddpo.v1.descriptors.bin");
}
