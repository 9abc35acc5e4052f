//! Slow tests of the three services together. The test starts a [`fleet`] of real processes around one
//! Redis, injects faults ([`storm`]) in a seeded random order ([`deck`]), and compares the result of the
//! learner with that of a run without faults ([`expected`]).
//!
//! ```text
//!   4 samplers ==> proxies ==> 2 rewarders ==> proxy ==> learner         rogue ==> either
//! ```
//!
//! The proxies belong to the test. They keep their addresses while the services behind them restart, cut
//! connections and flip bits of states. `tests/nothing_lost.rs` states what the test checks. The example
//! `hops` measures the throughput of the same path.

pub mod deck;
pub mod expected;
pub mod fleet;
pub mod inspect;
pub mod process;
pub mod proxy;
pub mod rogue;
pub mod storm;
