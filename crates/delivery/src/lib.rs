//! Delivers trajectories between services over `ddpo.v1`: at least once, with a receipt each, and
//! with credits that bound the receiver's memory.
//!
//! ```text
//!   device thread                                                    service
//!        | open, append_state, finish                 on_event, complete ^
//!        v                                                               | receipt
//!    uplink  == TrajectoryFrame ==>  HTTP/2  ==>  intake -> assembler ---+
//!        ^                                          |
//!        +======= SubmitReply: receipts, credits ===+
//! ```
//!
//! - [`uplink`]: the sender. Keeps each trajectory until its receipt arrives.
//! - [`intake`]: the receiver. Grants credits and answers with receipts.
//! - [`assembler`]: turns frames into trajectories; a state machine without I/O.
//! - [`reward`]: the client of a reward server that the user runs.
//! - [`run`]: the client that asks the learner for the run's reward.
//! - [`transport`]: HTTP/2 settings of servers and clients.

pub mod assembler;
pub mod destination;
pub mod incoming;
pub mod intake;
pub mod reward;
pub mod run;
pub mod transport;
pub mod uplink;

mod frame;
