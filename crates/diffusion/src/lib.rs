//! UNet2DModel, the DDIM and DDPM schedulers and the Gaussian transition
