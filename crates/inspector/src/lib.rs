//! What a service shows of itself: the trajectories in it, as they grow, and how it fares.
//!
//! The stages of a service note on a [`board::Board`] what becomes of each trajectory; the
//! [`service`] answers `ddpo.v1.Inspector` from it. Noting costs a lock and a copy of a short record;
//! pictures are made only for those who ask, in their own task and so many a second (`pictures.rs`), and a
//! watcher that does not keep up is cut off.
//!
//! What the three services' frames have in common stands here too: [`serve`] opens the port,
//! [`link`] goes with the uplink, [`status`] and [`counts`] tell how the service fares.

pub mod board;
mod convert;
pub mod counts;
pub mod export;
pub mod intake;
pub mod link;
mod pictures;
pub mod record;
pub mod reflection;
pub mod serve;
pub mod service;
pub mod status;
pub mod thumbnail;
