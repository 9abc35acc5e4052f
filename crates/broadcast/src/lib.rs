//! What passes between the learner and its samplers besides trajectories: versioned weights, work
//! orders, the run's specification, and the lease that decides which learner may write any of them.
//!
//! The learner holds a [`lease::Lease`] whose fencing token only ever grows; every write carries it
//! and is refused once another learner has a newer one. Samplers follow the current weights with a
//! [`follower::Follower`], take [`orders::Delivery`]s, and acknowledge them when the work is done.
//!
//! Two stores have the same semantics: [`remote::RedisBroadcast`] for services, and
//! [`local::LocalBroadcast`] for one process and for tests. What is stored is soft state: after a
//! loss the learner acquires the lease again, publishes again and issues again, and the operations
//! here ([`weights::WeightStore::is_present`], [`orders::OrderQueue::exists`]) let it notice.

pub mod error;
pub mod follower;
pub mod lease;
pub mod local;
pub mod manifest;
pub mod orders;
pub mod remote;
pub mod retention;
pub mod run_spec;
pub mod source;
pub mod weights;

mod encode;

/// Everything that a store offers; implemented for whatever has the four parts.
pub trait Broadcast:
    lease::Leases + weights::WeightStore + orders::OrderQueue + run_spec::RunSpecs
{
}

impl<T> Broadcast for T where
    T: lease::Leases + weights::WeightStore + orders::OrderQueue + run_spec::RunSpecs
{
}
