//! Vision networks: ViT classifiers, CLIP's vision tower, their image processors, and the aesthetic
//! head.
//!
//! [`preprocess`] converts 8-bit RGB images to the network's input; [`vit`] and [`clip`] match
//! transformers 5.8 on the same checkpoint.
//!
//! **One image, one score.** The rounding of a matrix product depends on its shape, and the rewarder's
//! batch sizes vary. Every pass through a network therefore has the same number of images, so that a
//! score depends on its image alone: see [`passes`].

pub mod accepted;
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
