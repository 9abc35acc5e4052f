//! Conversions between wire and domain, one file per message family. They are total: a received
//! message becomes a value of the domain within [`Limits`](crate::limits::Limits), or a
//! [`Malformed`](crate::malformed::Malformed).

mod digest;
mod enumeration;
mod form;
pub mod header;
pub mod reply;
pub mod reward;
pub mod run;
pub mod score;
pub mod text;
