//! Live trajectories of a process: a board of records with small images.
//!
//! The stages of a service update a [`board::Board`]. An update costs a lock and a copy of a short
//! record. Images are rendered on request only, and a slow watcher is disconnected.

pub mod board;
mod clock;
pub mod record;
pub mod thumbnail;
