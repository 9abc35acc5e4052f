//! The store in Redis 7 (6.2 at least), shared by the three services.
//!
//! A store has two connections: one for everything, and one to wait for orders on. Every step that
//! requires the lease is one script that compares the fencing token first.
//!
//! Configure the server with `maxmemory-policy noeviction`: what is evicted counts as lost, and the
//! learner has to publish it again. Persistence is not needed.

mod config;
mod keys;
mod lease;
mod link;
mod orders;
mod publish;
mod reply;
mod run_spec;
mod scripts;
mod store;
mod weights;

pub use config::{RedisConfig, RedisTls};
pub use store::RedisBroadcast;
