//! DDPO: from scored trajectories, in sample order, to new weights.
//!
//! [`learner::Learner`] holds all that changes over a run; [`adamw`] to [`schedule`] are the parts of
//! an update, each with its equation.

pub mod adamw;
pub mod advantages;
pub mod config;
pub mod ema;
mod epoch;
pub mod error;
pub mod learner;
pub mod objective;
pub mod pairs;
pub mod pass;
pub mod policy;
mod proximal;
pub mod report;
pub mod schedule;
pub mod terms;
