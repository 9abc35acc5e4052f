//! Tests of the services in real processes, with a real Redis: one file for each part, and one binary. A fleet of services
//! runs alone ([`Fleet`](ddpo_tests::services::Fleet)).

#![allow(clippy::unwrap_used)] // A test may panic.

mod auth;
mod clients;
mod faults;
mod health;
mod hostile;
mod loggers;
mod mixtures;
mod objectives;
mod otel_variables;
mod prometheus;
mod recovery;
mod redis;
mod reward;
mod same_weights;
mod shutdown;
mod staleness;
mod standby;
mod traces;
