//! The text of a checkpoint's model card: base model, reward, results, usage, and how to reproduce
//! it.
//!
//! A card contains no time, host or path, so that the same run writes the same bytes.

pub mod base;
pub mod comparison;
pub mod conversion;
pub mod finetuning;
mod front_matter;
mod markdown;
mod usage;
