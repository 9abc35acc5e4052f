//! The service `ddpo-learner`: scored trajectories in; work orders and weights out.
//!
//! ```text
//!   rewarder ===> intake ---> arrivals ---> ledger ---> remote: the port `Rollouts` of the run
//!                                                          |
//!                 orders, weights, lease (Redis) <--- keeper
//! ```

pub mod arrivals;
pub mod command;
pub mod desk;
pub mod facts;
pub mod keeper;
pub mod ledger;
pub mod page;
pub mod progress;
pub mod remote;
pub mod run;
pub mod settings;
mod status;
pub mod traces;
