//! Reward models
