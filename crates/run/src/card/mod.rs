//! The text of a checkpoint's model card: what was trained from what, for which reward, with what
//! result, how to use it and how to reproduce it.
//!
//! A card depends on the run alone and contains no time, host or path, so that the same run writes
//! the same bytes.

pub mod base;
pub mod comparison;
pub mod conversion;
pub mod finetuning;
mod front_matter;
mod markdown;
mod usage;
