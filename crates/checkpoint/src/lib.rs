//! Checkpoints in diffusers' layout: reading, strict loading, writing, and the Hugging Face Hub
