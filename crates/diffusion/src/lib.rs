//! The policy: diffusers' `UNet2DModel`, its DDIM and DDPM schedulers, and the Gaussian transition
//! p(x_{t-1} | x_t) of a denoising step, on libtorch through `tch`.
//!
//! Notation: B is the batch size, C, H and W are channels, height and width of an image, t is a timestep
//! of the training schedule, alpha_t (cumulative, written alpha-bar in Ho et al. 2020) is the product of
//! 1 - beta up to t, and eps is the noise in x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) eps.
//! diffusers files are those of version 0.35, below `src/diffusers`.

pub mod accepted;
mod activations;
pub mod device;
pub mod dtype;
pub mod fields;
pub mod flops;
pub mod gaussian;
pub mod host_weights;
pub mod lanes;
pub mod layers;
pub mod memory;
pub mod parameters;
pub mod scheduler;
pub mod transfer;
pub mod unet;
mod weights_digest;
