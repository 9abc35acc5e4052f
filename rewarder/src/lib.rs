//! The service `ddpo-rewarder`: takes trajectories from samplers, scores their images with the reward
//! that the learner describes, and passes both on to the learner.

pub mod service;
