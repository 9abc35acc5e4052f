//! The store in Redis 7 (at least 6.2), shared by the three services.
//!
//! A store has two connections: one for commands, and one for waiting on orders. Every step that
//! requires the lease is one script that first compares the fencing token.
//!
//! Configure the server with `maxmemory-policy noeviction`: evicted data counts as lost, and the
//! learner must publish it again. Persistence is not needed.

mod config;
mod keys;
mod lease;
mod link;
mod mend;
mod orders;
mod publish;
mod reply;
mod run_spec;
mod scripts;
mod store;
mod weights;

pub use config::{RedisConfig, RedisTls};
pub use store::RedisBroadcast;
