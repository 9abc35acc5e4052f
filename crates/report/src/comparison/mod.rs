//! The comparison of several runs: reward against diversity, queries and CPU time, and what more sampling
//! from the pretrained model gives.

pub mod data;
mod front;
mod read;
mod write;

pub use read::read;
pub use write::write;
