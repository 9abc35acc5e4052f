//! The service `ddpo-learner`: scored trajectories in; work orders and weights out.
//!
//! ```text
//!   rewarder ===> intake ---> arrivals ---> ledger ---> remote: the port `Rollouts` of the run
//!                                                          |
//!                 orders, weights, lease (Redis) <--- store_task
//! ```

pub mod arrivals;
pub mod command;
pub mod dispatcher;
pub mod facts;
pub mod ledger;
pub mod page;
pub mod progress;
pub mod remote;
pub mod run;
pub mod settings;
mod status;
pub mod store_handle;
pub mod store_task;
pub mod traces;
