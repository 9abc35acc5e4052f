//! The sampler: it turns sample coordinates into denoising trajectories.
//!
//! First stage of the flow: sampler, rewarder, learner. The [`engine`] owns no randomness (all noise
//! is keyed by the coordinates) and no thread; whoever calls it decides where it runs. The
//! [`service`] runs it on a device's thread, for work orders that come through Redis, and streams
//! what it makes to rewarders.

pub mod backend;
pub mod engine;
pub mod model;
pub mod service;
mod states;
