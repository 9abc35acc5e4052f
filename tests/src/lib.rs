//! What the end-to-end tests share: the real binaries, a model small enough for them, and ways to
//! look at what they leave behind.
//!
//! A test of `ddpo` works in a [`Workshop`], a test of the services with a [`services::Fleet`]: a
//! temporary folder that is also the processes' working folder, so that arguments and recorded
//! settings hold relative paths only. Helpers panic with the output of the processes in question:
//! they serve tests alone.

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
