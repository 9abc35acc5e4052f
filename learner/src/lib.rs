//! The learner: advantages, DDPO objectives, AdamW, checkpoints
