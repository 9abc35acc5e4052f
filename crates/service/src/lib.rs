//! What every binary shares. So far: settings in layers.

pub mod settings;
