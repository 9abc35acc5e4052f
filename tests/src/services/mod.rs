//! The three services as processes, with a Redis of their own.
//!
//! A [`Fleet`] starts them, hurts them, and kills what is left of them when it is dropped; an
//! [`Inspector`] asks one of them how it fares, over the same gRPC as anybody's client.

pub mod certificates;
pub mod collector;
pub mod fleet;
pub mod inspector;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod queries;
pub mod redis_server;
pub mod toy;
pub mod trace;
pub mod wait;

pub use fleet::{Fleet, FleetConfig};
pub use inspector::Inspector;
pub use wait::{PATIENCE, until, within};
