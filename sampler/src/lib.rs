//! The sampler engine: denoising trajectories on a device
