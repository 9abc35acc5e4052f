//! The policy: diffusers' `UNet2DModel`, its DDIM and DDPM schedulers, and the Gaussian
//! transition p(x_{t-1} | x_t) that a denoising step is. On libtorch, by `tch`.

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
