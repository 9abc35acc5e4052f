//! The service `ddpo-rewarder`: trajectories in, scored trajectories out.
//!
//! ```text
//!   sampler ===> intake ---> relay ---> uplink ===> learner
//!                  ^           |  x_0
//!         receipts |           v
//!                  +------- batcher ---> reward model (dedicated thread)
//! ```

pub mod batcher;
pub mod command;
pub mod relay;
pub mod run;
pub mod scoring;
pub mod settings;
