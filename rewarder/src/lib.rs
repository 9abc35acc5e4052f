//! Reward models: 8-bit RGB images in, scores with named components out.
//!
//! It stands between the sampler, whose final states become images, and the learner, whose
//! advantages are made of the scores. [`jpeg`] measures files, [`learned`] asks the networks of
//! [`vision`], [`own`] what the user brings; [`mixture`] adds them up. [`service`] is the reward
//! worker that runs one.

pub mod embedded;
pub mod error;
pub mod jpeg;
pub mod learned;
pub mod mixture;
pub mod model;
pub mod own;
pub mod part;
pub mod rewards;
pub mod service;
pub mod source;
pub mod task;
pub mod vision;

pub use error::RewardError;
pub use learned::{AgeReward, RewardOptions};
pub use model::{RewardDescription, RewardModel, check, reward_for};
pub use rewards::Rewards;
pub use source::RewardSource;
pub use task::Task;
