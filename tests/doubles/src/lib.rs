//! Test doubles of the three services, for tests under load and with faults. Each is the service itself,
//! with its flags and its settings file, but with a part that needs no model:
//!
//! - `double-sampler` draws keyed noise ([`noise_backend`]). A batch takes `DOUBLE_LATENCY_MS`
//!   milliseconds, from the environment.
//! - `double-rewarder` scores images with their mean level ([`mean_level`]).
//! - `double-learner` counts and hashes the trajectories instead of training on them ([`counting`]).
//!
//! `faulty-sampler`, `faulty-rewarder`, `faulty-learner` and `faulty-ddpo` are the real programs, with a
//! layer that raises an error of libtorch at a chosen call ([`faulty`]).

pub mod counting;
pub mod faulty;
pub mod mean_level;
pub mod noise_backend;

/// The name whose digest is the scheduler's digest of a run without a model.
pub const SCHEDULER: &[u8] = b"fake";
