//! What the learner does as a whole, on a tiny model: one file a behaviour, one binary for all.

#![allow(clippy::unwrap_used)] // A test may panic.

mod batch_file;
mod batches;
mod bf16;
mod divergence;
mod objectives;
mod pretraining;
mod ratio;
mod resume;
mod tiny;
