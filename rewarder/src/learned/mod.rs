//! Rewards that a network was trained to give: the age of a face, and how much people like a picture.

mod aesthetic;
mod age;
mod features;
mod labels;
mod options;
mod scoring;

pub use aesthetic::AestheticReward;
pub use age::{AgeRewardModel, AgeSide};
pub use features::Features;
pub use labels::{AgeClass, parse_age};
pub use options::{AESTHETIC_HEAD, AESTHETIC_MODEL, AGE_MODEL, AgeReward, RewardOptions};
