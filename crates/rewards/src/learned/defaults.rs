//! The default networks of the learned rewards.

/// The classifier of age classes.
pub const AGE_MODEL: &str = "nateraw/vit-age-classifier";

/// The CLIP whose embeddings the aesthetic head reads.
pub const AESTHETIC_MODEL: &str = "openai/clip-vit-large-patch14";

/// The aesthetic head on the Hub, as `owner/name/file`.
pub const AESTHETIC_HEAD: &str = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth";
