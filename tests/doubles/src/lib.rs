//! Test doubles of the three services, for load tests and fault tests. Each is the real service with its
//! flags and settings file, but replaces one part so that it needs no model:
//!
//! - `double-sampler` draws keyed noise ([`noise_backend`]). A batch takes as many milliseconds as
//!   the environment variable `DOUBLE_LATENCY_MS` says.
//! - `double-rewarder` scores images with their mean level ([`mean_level`]).
//! - `double-learner` counts and hashes the trajectories instead of training on them ([`counting`]).
//!
//! `faulty-sampler`, `faulty-rewarder`, `faulty-learner` and `faulty-ddpo` are the real programs with a
//! wrapper that raises an error of libtorch at a chosen call ([`faulty`]).

pub mod counting;
pub mod faulty;
pub mod mean_level;
pub mod noise_backend;

/// The digest of this name is the scheduler's digest of a run without a model.
pub const SCHEDULER: &[u8] = b"fake";
