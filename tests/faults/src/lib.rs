//! Slow tests of the three services together. A [`fleet`] of real processes is put up around one
//! Redis; a [`storm`] of faults from a seeded [`deck`] goes over it; and what the learner made of it
//! is compared with what an undisturbed run comes to ([`expected`]).
//!
//! ```text
//!   4 samplers ==> proxies ==> 2 rewarders ==> proxy ==> learner         rogue ==> either
//! ```
//!
//! The proxies belong to the test: they keep their addresses while the services behind them restart,
//! and they cut connections and flip bits of states. See `tests/nothing_lost.rs` for what is claimed.
//! The example `hops` measures the same way's speed.

pub mod deck;
pub mod expected;
pub mod fleet;
pub mod inspect;
pub mod process;
pub mod proxy;
pub mod rogue;
pub mod storm;
