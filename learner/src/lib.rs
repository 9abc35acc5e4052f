//! The learner: it turns scored trajectories into better weights by DDPO.
//!
//! Last stage of the flow: sampler, rewarder, learner. [`learner::Learner`] holds all that changes
//! over a run; [`adamw`] to [`schedule`] are the parts of an update, each with its equation.
//! [`run`] is the loop around it, and [`settings`], [`plan`], [`model`] and [`device`] are what a
//! binary that runs the loop starts from.

pub mod adamw;
pub mod advantages;
pub mod batch_file;
pub mod card;
pub mod checkpoint;
pub mod config;
pub use ddpo_diffusion::device;
pub mod ema;
pub mod embedded;
pub mod learner;
pub mod model;
pub mod objective;
pub mod pairs;
pub mod pass;
pub mod plan;
pub mod policy;
pub mod pretraining;
pub mod report;
pub mod run;
pub mod schedule;
pub mod seed_file;
pub mod service;
pub mod settings;
pub mod terms;
