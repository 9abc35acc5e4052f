//! What an update does as a whole, on a tiny model: one file a behaviour, one binary for all.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test may panic, and show its largest gap.

mod anchors;
mod batches;
mod bf16;
mod classes;
mod divergence;
mod forward;
mod gradient_clip;
mod gradients;
mod lanes;
mod objectives;
mod optimizer;
mod ratio;
mod staleness;
mod tiny;
mod trust_region;
mod window;
