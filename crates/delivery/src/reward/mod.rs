//! The client of `ddpo.v1.RewardModel`: a reward that the user serves from their own program, one
//! server at a time. Retries and the choice of a server are the caller's.

mod call;
mod client;

pub use call::RewardCallError;
pub use client::{EncodedImage, RewardClient};
