//! Settings in layers: defaults < file < environment < flag.
//!
//! A binary declares each of its tables once, with [`settings!`](crate::settings!): names, types,
//! defaults and help texts. [`Layers`] applies the sources in order, remembers where each value came
//! from, and refuses unknown keys.
//!
//! One file serves all binaries: the keys at the top are the run's settings, `[service]` holds the
//! settings that all services share, and `[sampler]`, `[rewarder]` and `[learner]` belong to one
//! service each.

pub mod environment;
pub mod layers;
mod part;
pub mod secret;
pub mod source;
pub mod table;

pub use layers::Layers;
pub use secret::{Secret, SecretUrl};
pub use source::{SettingsError, Source};

/// The tables that a settings file can have besides the run's keys.
pub const TABLES: [&str; 4] = ["service", "sampler", "rewarder", "learner"];
