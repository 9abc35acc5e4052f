//! The three services as processes, with their own Redis.
//!
//! A [`Fleet`] starts the services, injects faults, and kills them on drop. An [`Inspector`] reads the status
//! of a service over the public gRPC interface.

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
