//! Rewards by trained networks: the age of a face, and the aesthetic score.

mod aesthetic;
mod age;
mod defaults;
mod features;
mod labels;
mod network;

pub use aesthetic::AestheticReward;
pub use age::AgeRewardModel;
pub use defaults::{AESTHETIC_HEAD, AESTHETIC_MODEL, AGE_MODEL};
pub use features::Features;
pub use labels::{AgeClass, parse_age};
