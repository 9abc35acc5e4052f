//! The networks of the learned rewards where the settings name none.

/// The classifier of age classes.
pub const AGE_MODEL: &str = "nateraw/vit-age-classifier";

/// CLIP under the aesthetic head.
pub const AESTHETIC_MODEL: &str = "openai/clip-vit-large-patch14";

/// The aesthetic head on the Hub, as `owner/name/file`.
pub const AESTHETIC_HEAD: &str = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth";
