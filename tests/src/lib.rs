//! Shared by the end-to-end tests: the real binaries, a small model, and access to the results.
//!
//! A test of `ddpo` uses a [`Workshop`], a test of the services a [`services::Fleet`]. Each is a temporary
//! folder and the working folder of the processes, so arguments and recorded settings contain only
//! relative paths. Helpers panic with the output of the process, because only tests use them.

pub mod binary;
pub mod disk;
pub mod live;
pub mod process;
pub mod python;
pub mod report;
pub mod reward_server;
pub mod run;
pub mod scripts;
pub mod services;
pub mod tree;
pub mod workshop;

pub use process::{Ended, Running};
pub use workshop::Workshop;
