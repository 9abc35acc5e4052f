//! What the end-to-end tests share: the real `ddpo` binary, a model small enough for it, and ways
//! to look at what it leaves behind.
//!
//! Every test works in a [`Workshop`], a temporary folder that is also the processes' working
//! folder, so that arguments and recorded settings hold relative paths only. Helpers panic with the
//! output of the process in question: they serve tests alone.

pub mod binary;
pub mod disk;
pub mod hub;
pub mod process;
pub mod run;
pub mod tree;
pub mod workshop;

pub use process::{Ended, Running};
pub use workshop::Workshop;
