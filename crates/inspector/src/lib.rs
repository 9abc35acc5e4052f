//! The live trajectories of a process: a board of records, with small pictures.
//!
//! The stages of a service update a [`board::Board`]. An update costs a lock and the copy of a short
//! record; pictures are rendered on request only, and a watcher that does not keep up is disconnected.

pub mod board;
mod clock;
pub mod record;
pub mod thumbnail;
