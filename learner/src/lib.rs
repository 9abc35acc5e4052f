//! The service `ddpo-learner`: orders samples, takes scored trajectories in, and trains on them by
//! the run's loop ([`ddpo_run`]).
//!
//! Last stage of the flow: sampler, rewarder, learner.

pub mod service;
