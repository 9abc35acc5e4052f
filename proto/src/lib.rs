//! The contract `ddpo.v1`: generated messages, their conversions to the domain, and the two ends of
//! a trajectory stream. Nothing here knows libtorch.
//!
//! ```text
//!   device thread                                                    service
//!        | open, append_state, finish                 on_event, complete ^
//!        v                                                               | receipt
//!    uplink  == TrajectoryFrame ==>  HTTP/2  ==>  intake -> assembler ---+
//!        ^                                          |
//!        +======= SubmitReply: receipts, credits ===+
//! ```
//!
//! - [`uplink`]: the sender's end. It keeps every trajectory until its receipt.
//! - [`intake`]: the receiver's end. It grants credits and answers with receipts.
//! - [`assembler`]: frames to trajectories, without any input or output of its own.
//! - [`convert`]: wire to domain and back, total: what is malformed has a name in [`malformed`].
//! - [`reward`]: the caller's end of a reward server that is the user's own.
//! - [`transport`]: HTTP/2 settings of servers and clients.

pub mod assembler;
pub mod convert;
pub mod intake;
pub mod limits;
pub mod malformed;
pub mod reward;
pub mod stream;
pub mod transport;
pub mod uplink;

/// Generated from `ddpo/v1/*.proto`; renewed with `cargo run -p ddpo-proto --example generate`.
/// Only the conversions, and the traits that tonic asks of a service, speak of these types.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod wire {
    include!("generated/ddpo.v1.rs");

    /// The encoded `FileDescriptorSet` of the contract, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/ddpo.v1.descriptors.bin");
}
