//! Wire to domain and back, one file a message family. The conversions are total: whatever a peer
//! sends becomes a value of the domain within [`Limits`](crate::limits::Limits), or a
//! [`Malformed`](crate::malformed::Malformed).

mod digest;
mod enumeration;
pub mod header;
pub mod reply;
pub mod reward;
pub mod run;
pub mod score;
pub mod text;
