//! The learner: it turns scored trajectories into better weights by DDPO.

pub mod adamw;
pub mod ema;
pub mod pretraining;
pub mod schedule;
