//! Tests of the store on a real `redis-server`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod damage;
mod lease;
mod orders;
mod recovery;
mod redis_only;
mod redis_server;
mod retention;
mod servers;
mod stage;
mod tls;
mod weights;
