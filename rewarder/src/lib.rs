//! Reward models: 8-bit RGB images in, scores with named components out.
//!
//! It stands between the sampler, whose final states become images, and the learner, whose
//! advantages are made of the scores. [`jpeg`] measures files, [`learned`] asks the networks of
//! [`vision`]; no model knows anything of gRPC: [`service`] is the reward worker that runs one.

pub mod error;
pub mod jpeg;
pub mod learned;
pub mod model;
pub mod service;
pub mod task;
pub mod vision;

pub use error::RewardError;
pub use learned::{AgeReward, RewardOptions};
pub use model::{RewardDescription, RewardModel, check, reward_for};
pub use task::Task;
