//! Turns sample coordinates into denoising trajectories.
//!
//! First stage of the flow: sampler, rewarder, learner. The [`engine`] holds no random state (all
//! noise is keyed by the coordinates) and no thread; the caller decides where it runs. The
//! [`service`] runs it on a device thread, takes work orders from Redis, and streams the
//! trajectories to rewarders.

pub mod backend;
pub mod engine;
pub mod model;
pub mod service;
mod states;
