//! The exchange between learner and samplers besides trajectories: versioned weights, work orders,
//! the run's specification, and the lease that decides which learner may write them.
//!
//! The learner holds a [`lease::Lease`] whose fencing token only grows. Every write carries the
//! token and is refused once another learner has a newer one. Samplers take [`orders::Delivery`]s,
//! fetch the [`weights::Weights`] that an order names, and acknowledge the order when its work is
//! done.
//!
//! [`remote::RedisBroadcast`] is the store. Its contents are soft state: after a loss, which
//! [`is_present`](remote::RedisBroadcast::is_present) and
//! [`exists`](remote::RedisBroadcast::exists) detect, the learner acquires the lease, publishes and
//! issues again.

pub mod error;
pub mod lease;
pub mod manifest;
pub mod orders;
pub mod remote;
pub mod source;
pub mod weights;

mod encode;
mod retention;
