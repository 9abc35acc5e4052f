//! The service `ddpo-rewarder`: takes trajectories from samplers, scores their images with the
//! reward that the learner describes, and forwards both to the learner.

pub mod service;
