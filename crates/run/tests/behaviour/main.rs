//! Behaviour of a whole run on a tiny model: one file per behaviour, one binary.

#![allow(clippy::unwrap_used)] // A test may panic.

mod batch_file;
mod classes;
mod clip_warning;
mod no_signal;
mod pretraining;
mod redraw;
mod resume;
mod run;
#[path = "../../../algorithm/tests/behaviour/tiny.rs"]
#[expect(dead_code, reason = "the algorithm's own tests use the rest")]
mod tiny;
mod upstream;
