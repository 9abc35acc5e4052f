//! Networks that look at images: ViT classifiers and CLIP's vision tower, their image processors,
//! and the aesthetic head.
//!
//! Pictures come in as 8-bit RGB; [`preprocess`] makes of them what the network was trained on, and
//! [`vit`] and [`clip`] compute what transformers 5.8 computes from the same checkpoint.
//!
//! **One image, one score.** A product of matrices rounds its last bits by its shape, and the rewarder
//! batches by what happens to arrive. So that a score is a function of its image alone, every pass
//! through a network has the same number of images: see [`passes`].

pub mod activation;
pub mod clip;
pub mod config;
pub mod encoder;
pub mod error;
pub mod head;
pub mod passes;
pub mod patches;
pub mod preprocess;
pub mod vit;
pub mod weights;
