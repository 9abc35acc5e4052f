//! What every binary shares. So far: settings in layers, and the allocator's tuning.

pub mod memory;
pub mod settings;
