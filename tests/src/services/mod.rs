//! The three services as processes, with a Redis of their own.
//!
//! A [`Fleet`] starts them, hurts them, and kills what is left of them when it is dropped; an
//! [`Inspector`] asks one of them how it fares, over the same gRPC as anybody's client.

pub mod certificates;
pub mod fleet;
pub mod inspector;
pub mod process;
pub mod python;
pub mod redis_server;
pub mod toy;
pub mod wait;

pub use fleet::{Fleet, FleetConfig};
pub use inspector::Inspector;
pub use wait::{PATIENCE, until, within};
