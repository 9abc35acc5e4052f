//! The sampler engine: it turns sample coordinates into denoising trajectories.
//!
//! First stage of the flow: sampler, rewarder, learner. The engine owns no randomness (all noise is
//! keyed by the coordinates) and no thread; whoever calls it decides where it runs.

pub mod engine;
mod states;
