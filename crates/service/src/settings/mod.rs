//! Settings in layers: defaults < file < environment < flag.
//!
//! A binary declares each of its tables once, with [`settings!`](crate::settings!): names, types,
//! defaults and meanings. [`Layers`] lays the sources over each other, remembers where each value
//! came from, and refuses what it does not know.
//!
//! One file serves every binary: its top-level keys are the run's settings, `[service]` is what
//! the services share, and `[sampler]`, `[rewarder]` and `[learner]` are each service's own.

pub mod environment;
pub mod layers;
mod part;
pub mod secret;
pub mod service;
pub mod source;
pub mod table;

pub use layers::Layers;
pub use secret::{Secret, SecretUrl};
pub use service::ServiceSettings;
pub use source::{SettingsError, Source};

/// Names of the tables that a settings file can have besides the run's keys.
pub const TABLES: [&str; 4] = ["service", "sampler", "rewarder", "learner"];

/// What [`settings!`](crate::settings!) expands to needs these names in every crate.
#[doc(hidden)]
pub mod private {
    pub use serde;
}
