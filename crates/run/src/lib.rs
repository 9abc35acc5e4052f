//! One run of DDPO, epoch by epoch: sample, score, update, evaluate, save.
//!
//! The loop gets its trajectories from [`rollouts::Rollouts`], whether the sampler and the reward
//! model run in this process (`ddpo train`) or in others (`ddpo-learner`). [`open`] loads a run and
//! writes nothing; [`train`] trains it.

mod average;
pub mod batch_file;
pub mod batch_size;
pub mod card;
pub mod checkpoint;
pub mod embedded;
mod epochs;
pub mod error;
pub mod evaluation;
pub mod folder;
pub mod guards;
pub mod host;
mod leftovers;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod model_card;
pub mod open;
pub mod paths;
pub mod pictures;
pub mod plan;
pub mod pretraining;
pub mod progress;
pub mod resume;
pub mod rollouts;
pub mod settings;
pub mod settle;
mod shares;
pub mod signal;
pub mod start;
pub mod stop_on;
mod summary;
pub mod table;
pub mod train;
pub mod upstream_checkpoint;
pub mod watched;
