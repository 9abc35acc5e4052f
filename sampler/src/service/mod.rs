//! The service `ddpo-sampler`: work orders in, trajectories out.
//!
//! ```text
//!   work orders, weights (Redis)            receipts
//!          |                                   |
//!          v                                   v
//!       worker --- load, draw ---> device --- batch ---> uplink ===> rewarder
//! ```

pub mod batch;
pub mod command;
pub mod device;
mod failures;
pub mod run;
pub mod settings;
pub mod worker;
