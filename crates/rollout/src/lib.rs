//! The domain types: trajectories, scores, policy versions, and noise keyed by
//! (run seed, purpose, epoch, sample, step). Independent of libtorch and of the network.

pub mod causes;
pub mod chain;
pub mod classes;
pub mod dtype;
pub mod facts;
pub mod image;
pub mod noise;
pub mod numerics;
pub mod order;
pub mod philox;
pub mod reward;
pub mod score;
pub mod trajectory;
pub mod window;
