//! The client of `ddpo.v1.RewardModel`: a reward served by a program of the user, one server at a
//! time. The caller handles retries and selects the server.

mod call;
mod client;

pub use call::RewardCallError;
pub use client::{EncodedImage, RewardClient};
