//! Settings in layers: defaults < file < environment < flag.
//!
//! A binary declares each of its tables once, with [`settings!`](crate::settings!): names, types, defaults
//! and help texts. [`Layers`] applies the sources in order, records the source of each value, and rejects
//! unknown keys.
//!
//! All binaries share one file: the keys at the top level are the run's settings, `[service]` has the
//! settings of all services, and `[sampler]`, `[rewarder]` and `[learner]` belong to one service each.

pub mod environment;
pub mod layers;
pub mod numbers;
mod part;
pub mod range;
pub mod secret;
pub mod source;
pub mod table;

pub use layers::Layers;
pub use range::Range;
pub use secret::{Secret, SecretUrl};
pub use source::{SettingsError, Source};

/// The tables of a settings file besides the run's keys.
pub const TABLES: [&str; 4] = ["service", "sampler", "rewarder", "learner"];
