//! The learner: it turns scored trajectories into better weights by DDPO.
//!
//! Last stage of the flow: sampler, rewarder, learner. [`learner::Learner`] holds all that changes
//! over a run; the other modules are the parts of an update, each with its equation.

pub mod adamw;
pub mod advantages;
pub mod batch_file;
pub mod checkpoint;
pub mod config;
pub mod ema;
pub mod learner;
pub mod objective;
pub mod pairs;
pub mod pass;
pub mod policy;
pub mod pretraining;
pub mod report;
pub mod schedule;
