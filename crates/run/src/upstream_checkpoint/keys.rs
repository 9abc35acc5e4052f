//! The keys of the dictionary in a `.pth` file.

/// The weights.
pub const MODEL: &str = "model_state_dict";

/// The optimizer. Later versions of the upstream program also save a value network's optimizer.
pub const OPTIMIZERS: [&str; 2] = ["optimizer_state_dict", "policy_optimizer_state_dict"];

/// The best evaluation reward.
pub const BEST: &str = "best_reward";
