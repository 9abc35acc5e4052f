//! What the learner does as a whole, on a tiny model: one file a behaviour, one binary for all.

#![allow(clippy::unwrap_used)] // A test may panic.

mod batch_file;
mod batches;
mod bf16;
mod divergence;
mod lanes;
mod objectives;
mod pretraining;
mod ratio;
mod resume;
mod run;
mod staleness;
mod tiny;
